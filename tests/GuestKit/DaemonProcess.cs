using System.Globalization;

namespace GuestKit;

/// <summary>A running vhost-user daemon, seen from outside: its sockets, its processor time, its end.</summary>
public sealed class DaemonProcess
{
    private const double TicksPerSecond = 100; // USER_HZ, the unit of /proc

    private readonly ChildProcess _process;

    private DaemonProcess(ChildProcess process) => _process = process;

    public string Name => _process.Name;

    public int Id => _process.Id;

    public Task<int> Exited => _process.Exited;

    /// <summary>User and system time of all its threads so far.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            // The name in parentheses may hold blanks: count fields from behind it. utime and stime are fields 14 and 15.
            string stat = File.ReadAllText($"/proc/{Id}/stat");
            string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            double ticks = double.Parse(fields[11], CultureInfo.InvariantCulture) + double.Parse(fields[12], CultureInfo.InvariantCulture);
            return TimeSpan.FromSeconds(ticks / TicksPerSecond);
        }
    }

    public int OpenDescriptors => Directory.EnumerateFileSystemEntries($"/proc/{Id}/fd").Count();

    /// <summary>
    /// Sockets, events and memory that it has open, sorted: "socket", "anon_inode:[eventfd]", "/memfd:xen-domain-1 (deleted)". What a
    /// runtime opens for itself as it goes along (assemblies, its epoll) does not count.
    /// </summary>
    public IReadOnlyList<string> OpenObjects =>
    [
        .. Directory.EnumerateFiles($"/proc/{Id}/fd").Select(TargetOf).OfType<string>()
            .Select(static target => target[(target.LastIndexOf("/fd/", StringComparison.Ordinal) is var at and >= 0 ? at + 4 : 0)..])
            .Where(static target => target.StartsWith("socket:", StringComparison.Ordinal) || target.StartsWith("/memfd:", StringComparison.Ordinal) || target == "anon_inode:[eventfd]")
            .Select(static target => target.StartsWith("socket:", StringComparison.Ordinal) ? "socket" : target)
            .Order(StringComparer.Ordinal),
    ];

    /// <summary>Waits until it has no more objects open than so many, for up to five seconds: ends of connections are seen by threads of their own.</summary>
    public async Task<int> SettledObjectsAsync(int expected)
    {
        long end = Environment.TickCount64 + 5000;
        while (OpenObjects.Count > expected && Environment.TickCount64 < end)
            await Task.Delay(10);

        return OpenObjects.Count;
    }

    public int Threads => Directory.EnumerateFileSystemEntries($"/proc/{Id}/task").Count();

    /// <summary>Starts the program and waits until it listens on every one of the sockets.</summary>
    public static async Task<DaemonProcess> StartAsync(GuestRun run, string name, CommandLine command, IReadOnlyList<string> sockets)
    {
        ChildProcess process = ChildProcess.Start(run, name, command);
        await UnixListener.WaitAsync(sockets, process);
        return new DaemonProcess(process);
    }

    /// <summary>Asks it to end, as an init system does, and returns its exit code.</summary>
    public async Task<int> StopAsync(TimeSpan deadline)
    {
        _process.Terminate();
        return await _process.Exited.WaitAsync(deadline);
    }

    /// <summary>Tells it to look at its images again (SIGHUP).</summary>
    public void Reload() => _process.HangUp();

    /// <summary>Ends it as a crash would.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.Exited;
    }

    private static string? TargetOf(string descriptor)
    {
        try
        {
            return File.ResolveLinkTarget(descriptor, returnFinalTarget: false)?.ToString();
        }
        catch (IOException)
        {
            // Closed meanwhile.
            return null;
        }
    }
}
