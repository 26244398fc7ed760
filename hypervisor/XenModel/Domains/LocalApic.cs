namespace XenModel.Domains;

/// <summary>The interrupts of one virtual CPU: vectors that were delivered and not taken.</summary>
public sealed class LocalApic
{
    private readonly Vcpu _vcpu;
    private readonly ulong[] _requests = new ulong[4];
    private readonly ManualResetEventSlim _arrived = new(false);

    internal LocalApic(Vcpu vcpu)
    {
        _vcpu = vcpu;
        LogicalId = (byte)(1u << (int)(vcpu.Id & 7));
    }

    /// <summary>Physical destination: Xen gives its guests even numbers.</summary>
    public uint Id => _vcpu.Id * 2;

    /// <summary>Logical destination in the flat model; the guest may set it.</summary>
    public byte LogicalId { get; set; }

    /// <summary>Interrupts accepted so far, merged ones not counted.</summary>
    public long Accepted { get; private set; }

    /// <summary>Takes the highest pending vector.</summary>
    public bool TryTake(out byte vector)
    {
        lock (_requests)
        {
            for (int word = 3; word >= 0; word--)
            {
                if (_requests[word] == 0) continue;
                int bit = 63 - System.Numerics.BitOperations.LeadingZeroCount(_requests[word]);
                _requests[word] &= ~(1UL << bit);
                vector = (byte)(word * 64 + bit);
                return true;
            }

            _arrived.Reset();
            vector = 0;
            return false;
        }
    }

    /// <summary>Waits for an interrupt and takes the highest.</summary>
    /// <returns>False: none came in time.</returns>
    /// <exception cref="DomainStoppedException">The domain is gone.</exception>
    public bool WaitTake(TimeSpan timeout, out byte vector)
    {
        long deadline = Environment.TickCount64 + (long)timeout.TotalMilliseconds;
        while (!TryTake(out vector))
        {
            _vcpu.Domain.ThrowIfStopped();
            long left = deadline - Environment.TickCount64;
            if (left <= 0 || !_arrived.Wait((int)Math.Min(left, int.MaxValue))) return TryTake(out vector);
        }

        return true;
    }

    internal void Accept(byte vector)
    {
        lock (_requests)
        {
            ulong bit = 1UL << (vector & 63);
            if ((_requests[vector >> 6] & bit) == 0) Accepted++;
            _requests[vector >> 6] |= bit;
            _arrived.Set();
        }
    }

    internal void WakeAll() => _arrived.Set();
}
