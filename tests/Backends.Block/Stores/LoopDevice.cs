using System.Diagnostics;

namespace Backends.Block.Tests.Stores;

/// <summary>A block device over a file, where this machine lets us make one.</summary>
internal sealed class LoopDevice : IDisposable
{
    private LoopDevice(string path) => Path = path;

    public string Path { get; }

    /// <summary>Null where loop devices cannot be had (no root, no driver, a container).</summary>
    public static LoopDevice? TryCreate(string file, int sectorSize)
    {
        if (Environment.UserName != "root" || !File.Exists("/dev/loop-control"))
            return null;

        string path = Run("losetup", "--find", "--show", $"--sector-size={sectorSize}", file);
        return path.StartsWith("/dev/", StringComparison.Ordinal) ? new LoopDevice(path) : null;
    }

    public void Dispose() => Run("losetup", "--detach", Path);

    private static string Run(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            string output = process.StandardOutput.ReadToEnd().Trim();
            process.WaitForExit();
            return output;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "";
        }
    }
}
