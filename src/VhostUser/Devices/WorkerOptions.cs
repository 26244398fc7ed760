namespace VhostUser.Devices;

/// <summary>How worker threads wait and do I/O.</summary>
public sealed class WorkerOptions
{
    /// <summary>Microseconds to go on looking at the rings after the last request before sleeping; 0 sleeps at once.</summary>
    public long PollMicroseconds { get; init; }

    /// <summary>False to do without io_uring even where the kernel has it.</summary>
    public bool UseIoUring { get; init; } = true;
}
