namespace VhostXen.Linux;

/// <summary>What is left of a timeout when a signal interrupted the wait. -1 is for ever.</summary>
[NotInC("ours")]
internal readonly struct Deadline
{
    private readonly int _timeoutMs;
    private readonly long _end;

    private Deadline(int timeoutMs)
    {
        _timeoutMs = timeoutMs;
        _end = timeoutMs > 0 ? Environment.TickCount64 + timeoutMs : 0;
    }

    public int LeftMs => _timeoutMs <= 0 ? _timeoutMs : (int)Math.Max(_end - Environment.TickCount64, 0);

    public static Deadline In(int timeoutMs) => new(timeoutMs);
}
