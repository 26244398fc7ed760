using System.Runtime.CompilerServices;
using VhostUser.Memory;
using VhostUser.Protocol;

namespace VhostUser.Queues;

/// <content>Gives chains back, decides on interrupts and asks for kicks.</content>
internal sealed unsafe partial class SplitVirtqueue
{
    private const ushort NoInterrupt = 1;
    private const ushort NoNotify = 1;

    public override void AddUsed(DescriptorChain chain, uint written)
    {
        InFlight--;
        if (_order is null)
        {
            Use(chain.Id, written);
            return;
        }

        _order.Complete(chain, written);
        while (_order.TryNext(out InOrderUsed.Entry entry))
            Use(entry.Id, entry.Written);
    }

    public override bool Publish()
    {
        ushort old = _published;
        ushort now = _nextUsed;
        if (old == now || BrokenCause is not null)
            return false;

        _inflight?.BeforePublish();

        // Release: the entries are there before the index that covers them; its partner is the driver's acquire of the index.
        Volatile.Write(ref *_usedIndex, now);
        if (_inflight is not null)
            FinishBatch(_inflight, now);

        _outstanding -= (ushort)(now - old);
        _published = now;
        if (Log is not null && LogAddress is { } address)
            LogUsed(Log, address.Value, old, now);

        bool first = !_everPublished;
        _everPublished = true;

        // Full fence between our index and the driver's wish: its partner is the fence in the driver between its wish
        // (used_event, flags) and its last look at our index. Without both, each could miss the other.
        Interlocked.MemoryBarrier();
        if (!_eventIndex)
            return (Volatile.Read(ref *_availFlags) & NoInterrupt) == 0;

        // A predecessor may have published up to here without calling: the first batch always calls.
        ushort wanted = Volatile.Read(ref *_usedEvent);
        return first || (ushort)(now - wanted - 1) < (ushort)(now - old);
    }

    public override void SuppressKicks()
    {
        // EVENT_IDX: the event index stays behind and no chain reaches it, but for one in 65536.
        if (!_eventIndex)
            SetKicksSuppressed(true);
    }

    public override bool AllowKicks()
    {
        if (BrokenCause is not null)
            return false;

        if (_eventIndex)
        {
            Volatile.Write(ref *_availEvent, _nextAvail);
            LogDeviceArea(4 + (8 * (uint)_size), 2);
        }
        else
        {
            SetKicksSuppressed(false);
        }

        // Full fence between our wish and the last look: its partner is the driver's fence between its index and its
        // look at our wish.
        Interlocked.MemoryBarrier();
        return Volatile.Read(ref *_availIndex) != _nextAvail;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Use(ushort id, uint written)
    {
        if (BrokenCause is not null)
            return;

        // SAFETY: masked; used entries are 4-byte aligned, which is all that WriteUnaligned asks for.
        Unsafe.WriteUnaligned(_usedRing + (8 * (_nextUsed & _mask)), ((ulong)written << 32) | id);
        _nextUsed++;
        if (_inflight is null)
        {
            _busy[id] = false;
            return;
        }

        // The head stays taken until its batch is published: the region links each head once per batch.
        _inflight.Used(id);
        _inflight.Step();
    }

    private void FinishBatch(SplitInflight inflight, ushort now)
    {
        inflight.Step();
        foreach (ushort head in inflight.AfterPublish(now))
            _busy[head] = false;
    }

    private void SetKicksSuppressed(bool suppressed)
    {
        if (_kicksSuppressed == suppressed || BrokenCause is not null)
            return;

        _kicksSuppressed = suppressed;
        Volatile.Write(ref *_usedFlags, suppressed ? NoNotify : (ushort)0);
        LogDeviceArea(0, 2);
    }

    private void LogUsed(DirtyLog log, ulong address, ushort old, ushort now)
    {
        uint first = old & _mask;
        uint count = (ushort)(now - old);
        uint beforeWrap = Math.Min(count, (uint)_size - first);
        log.Mark(new GuestAddress(address + 4 + (8 * first)), 8 * beforeWrap);
        if (beforeWrap != count)
            log.Mark(new GuestAddress(address + 4), 8 * (count - beforeWrap));

        log.Mark(new GuestAddress(address + 2), 2);
    }

    private void LogDeviceArea(uint offset, uint length)
    {
        if (Log is not null && LogAddress is { } address)
            Log.Mark(new GuestAddress(address.Value + offset), length);
    }
}
