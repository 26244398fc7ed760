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

    /// <summary>Ends it as a crash would.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.Exited;
    }
}
