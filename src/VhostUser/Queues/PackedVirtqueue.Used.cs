using System.Runtime.CompilerServices;
using VhostUser.Protocol;

namespace VhostUser.Queues;

/// <content>Gives chains back, decides on interrupts and asks for kicks.</content>
internal sealed unsafe partial class PackedVirtqueue
{
    // RING_EVENT_FLAGS_ENABLE, _DISABLE, _DESC: bits 16-17 of an event suppression structure read as one word,
    // whose low half is the position (bits 0-14) and its wrap counter (bit 15).
    private const uint EventEnable = 0;
    private const uint EventDisable = 1;
    private const uint EventDescriptor = 2;

    public override void AddUsed(DescriptorChain chain, uint written)
    {
        InFlight--;
        if (_order is null)
        {
            Use(chain.Id, chain.Slots, chain.InflightSlot, written);
            return;
        }

        _order.Complete(chain, written);
        while (_order.TryNext(out InOrderUsed.Entry entry))
            Use(entry.Id, entry.Slots, entry.InflightSlot, entry.Written);
    }

    public override bool Publish()
    {
        if (_batchSlots == 0 || BrokenCause is not null)
            return false;

        _inflight?.BeforePublish(_nextUsed, _usedWrap);

        // Release: the driver looks at its next used position, which is the batch's head, and only then at what
        // follows; so the head's flags are written last, and show the whole batch. Partner: its acquire of the flags.
        Volatile.Write(ref *(ushort*)(Slot(_batchHead) + 14), _batchHeadFlags);
        if (_inflight is not null)
        {
            _inflight.Step();
            _inflight.AfterPublish(_nextUsed, _usedWrap);
        }

        if (Log is not null)
            LogRing(_batchHead, _batchSlots);

        int old = _batchHead;
        int batch = _batchSlots;
        _outstanding -= batch;
        _batchSlots = 0;
        bool first = !_everPublished;
        _everPublished = true;

        // Full fence between our flags and the driver's wish: its partner is the fence in the driver between its wish
        // (event suppression) and its last look at the descriptor. Without both, each could miss the other.
        Interlocked.MemoryBarrier();
        uint wish = Volatile.Read(ref *_driverEvent);
        uint flags = (wish >> 16) & 3;
        if (flags == EventDisable)
            return false;

        // A predecessor may have published up to here without calling: the first batch always calls.
        return first || !_eventIndex || flags != EventDescriptor || IsReached((ushort)wish, old, batch);
    }

    public override void SuppressKicks() => SetDeviceEvent(EventDisable << 16);

    public override bool AllowKicks()
    {
        if (BrokenCause is not null)
            return false;

        SetDeviceEvent(_eventIndex ? (EventDescriptor << 16) | Encode(_nextAvail, _availWrap) : EventEnable << 16);

        // Full fence between our wish and the last look: its partner is the driver's fence between making a
        // descriptor available and looking at our wish.
        Interlocked.MemoryBarrier();
        return IsAvailable(Volatile.Read(ref *(ushort*)(Slot(_nextAvail) + 14)));
    }

    /// <summary>
    /// Whether the position that the driver waits for lies in the batch just published. Positions count modulo two
    /// laps, told apart by the wrap counter; a batch is one lap at most, so this is exact.
    /// </summary>
    private bool IsReached(ushort wish, int old, int batch)
    {
        int position = wish & (WrapBit - 1);
        bool wrap = (wish & WrapBit) != 0;

        // In front of the used position now, in this lap or the one before.
        int now = _nextUsed;
        int start = old + batch == now ? old : old - _size;
        if (wrap != _usedWrap)
            position -= _size;

        return position >= start && position < now;
    }

    private void Use(ushort id, ushort slots, ushort inflightSlot, uint written)
    {
        if (BrokenCause is not null)
            return;

        byte* at = Slot(_nextUsed);
        ushort flags = (ushort)((_usedWrap ? AvailableUsed : 0) | (written != 0 ? VirtqDescriptor.Write : 0));
        if (_batchSlots == 0)
        {
            *(uint*)(at + 8) = written;
            *(ushort*)(at + 12) = id;
            _batchHead = _nextUsed;
            _batchHeadFlags = flags;
        }
        else
        {
            *(ulong*)(at + 8) = written | ((ulong)id << 32) | ((ulong)flags << 48);
        }

        if (_inflight is not null)
        {
            _inflight.Used(inflightSlot);
            _inflight.Step();
        }

        _batchSlots += slots;
        Advance(ref _nextUsed, ref _usedWrap, slots);
    }

    private void SetDeviceEvent(uint wish)
    {
        // One store of position and flags: the driver never sees one without the other.
        if (BrokenCause is not null || *_deviceEvent == wish)
            return;

        Volatile.Write(ref *_deviceEvent, wish);
        if (Log is not null && LogAddress is not null && _deviceEventAddress is { } address)
            Log.Mark(address, 4);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void LogRing(int first, int slots)
    {
        // Front-ends that think of split rings send the used ring's address here, which is the event structure's:
        // where the descriptors' own address is known, it is the right one.
        if (LogAddress is not { } sent)
            return;

        ulong address = (_ringAddress ?? sent).Value;
        int beforeWrap = Math.Min(slots, _size - first);
        Log!.Mark(new GuestAddress(address + (16 * (ulong)first)), 16 * (ulong)beforeWrap);
        if (beforeWrap != slots)
            Log.Mark(new GuestAddress(address), 16 * (ulong)(slots - beforeWrap));
    }
}
