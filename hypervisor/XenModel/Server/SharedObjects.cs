using XenModel.Memory;

namespace XenModel.Server;

/// <summary>Numbers for the memory that is shown to clients: one per pool, never reused.</summary>
internal sealed class SharedObjects
{
    private readonly System.Runtime.CompilerServices.ConditionalWeakTable<FramePool, Number> _numbers = [];
    private uint _last;

    public uint NumberOf(FramePool pool)
    {
        lock (_numbers)
        {
            if (!_numbers.TryGetValue(pool, out Number? number)) _numbers.Add(pool, number = new Number(++_last));
            return number.Value;
        }
    }

    private sealed class Number(uint value)
    {
        public uint Value { get; } = value;
    }
}
