namespace GuestKit;

/// <summary>A program that serves disks over vhost-user: ours, or another's as a control.</summary>
public abstract class BlockDaemon
{
    public abstract string Name { get; }

    /// <summary>Stops with requests on their way and comes back without the guest noticing.</summary>
    public abstract bool SurvivesRestartUnderLoad { get; }

    /// <summary>Several processes may have the same image open, as during live migration.</summary>
    public abstract BlockDaemon ForSharedImage();

    /// <summary>The disk's serial number can be set.</summary>
    public abstract bool HasSerial { get; }

    /// <summary>The cache mode that a guest finds when the daemon was told nothing.</summary>
    public abstract string CacheAtStart { get; }

    /// <summary>The command that serves these disks from one process; it may write configuration files into the run.</summary>
    public abstract CommandLine CommandLine(GuestRun run, IReadOnlyList<DiskExport> exports);

    /// <summary>Starts the daemon and waits until it listens on every socket.</summary>
    public async Task<DaemonProcess> StartAsync(GuestRun run, params DiskExport[] exports) =>
        await DaemonProcess.StartAsync(run, Name, CommandLine(run, exports), [.. exports.Select(export => export.SocketPath)]);

    public override string ToString() => Name;
}
