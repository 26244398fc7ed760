namespace VhostUser.Devices;

/// <summary>What one ring did since the device exists. Written by its worker, read by anybody.</summary>
public sealed class VringCounters
{
    private long _requests;
    private long _calls;
    private long _wakeUps;
    private long _faults;
    private long _breaks;

    /// <summary>Requests completed.</summary>
    public long Requests => Volatile.Read(ref _requests);

    /// <summary>Interrupts asked for.</summary>
    public long Calls => Volatile.Read(ref _calls);

    /// <summary>Kicks that woke the worker.</summary>
    public long WakeUps => Volatile.Read(ref _wakeUps);

    /// <summary>Requests whose memory was not there.</summary>
    public long Faults => Volatile.Read(ref _faults);

    /// <summary>Times the driver broke the ring.</summary>
    public long Breaks => Volatile.Read(ref _breaks);

    // One writer each: a plain increment is enough, the reader sees a whole value.
    internal void CountRequest() => _requests++;

    internal void CountCall() => _calls++;

    internal void CountWakeUp() => _wakeUps++;

    internal void CountFault() => _faults++;

    internal void CountBreak() => _breaks++;
}
