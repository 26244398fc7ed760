using System.Diagnostics;

namespace GuestKit;

/// <summary>Finds out whether somebody listens on a Unix socket without connecting to it, which would be a session.</summary>
internal static class UnixListener
{
    /// <summary>Waits until every path has a listener, or the process that should provide them has ended.</summary>
    public static async Task WaitAsync(IReadOnlyList<string> paths, ChildProcess process)
    {
        var clock = Stopwatch.StartNew();
        while (!paths.All(Exists))
        {
            if (process.Exited.IsCompleted)
                throw new GuestRunException($"{process.Name} ended with exit code {await process.Exited} instead of listening");
            if (clock.Elapsed > TimeSpan.FromSeconds(60))
                throw new GuestRunException($"{process.Name} does not listen on {string.Join(", ", paths)}");
            await Task.Delay(10); // the kernel tells nobody about a new listener
        }
    }

    // A line of /proc/net/unix: Num RefCount Protocol Flags Type St Inode Path; flag 0x10000 is __SO_ACCEPTCON.
    private static bool Exists(string path) =>
        File.ReadLines("/proc/net/unix").Any(line =>
            line.EndsWith(" " + path, StringComparison.Ordinal) && line.Contains(" 00010000 ", StringComparison.Ordinal));
}
