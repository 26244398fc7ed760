namespace XenVhostMaster.Frontends;

/// <summary>How many lines a guest may cause: ten at once, and ten a minute. More of them tell nobody anything new.</summary>
internal sealed class LogBudget
{
    private const int Most = 10;
    private const long MillisecondsPerLine = 6_000;

    private readonly Lock _lock = new();
    private long _left = Most;
    private long _since = Environment.TickCount64;

    public bool TryTake()
    {
        lock (_lock)
        {
            long earned = (Environment.TickCount64 - _since) / MillisecondsPerLine;
            if (earned > 0)
            {
                _left = Math.Min(_left + earned, Most);
                _since += earned * MillisecondsPerLine;
            }

            if (_left == 0)
                return false;

            _left--;
            return true;
        }
    }
}
