using System.Diagnostics;

namespace GuestKit;

/// <summary>Programs of the host that look at an image after the guest is gone.</summary>
public static class HostTool
{
    /// <summary>Runs a program to its end. A non-zero exit code is an error with the program's words in it.</summary>
    public static async Task<byte[]> RunAsync(GuestRun? run, string program, params string[] arguments)
    {
        // Debian keeps e2fsck and debugfs in directories that a user's PATH may lack.
        var start = new ProcessStartInfo(Find(program), arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        var command = new CommandLine(program, arguments);
        run?.Log.Write("host", command.ToString());
        using Process process = Process.Start(start) ?? throw new InvalidOperationException($"cannot start {program}");
        using var output = new MemoryStream();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        await process.StandardOutput.BaseStream.CopyToAsync(output);
        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
        {
            string text = System.Text.Encoding.UTF8.GetString(output.ToArray());
            throw new InvalidOperationException($"{command}: exit code {process.ExitCode}\n{text}{await errors}");
        }
        return output.ToArray();
    }

    internal static string Find(string program)
    {
        string path = Environment.GetEnvironmentVariable("PATH") ?? "";
        return $"{path}:/usr/sbin:/sbin".Split(':', StringSplitOptions.RemoveEmptyEntries)
            .Select(directory => Path.Combine(directory, program))
            .FirstOrDefault(File.Exists) ?? program;
    }
}
