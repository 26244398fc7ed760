using VhostUser.Memory;
using VhostUser.Protocol;

namespace TestKit;

/// <summary>The driver's side of a packed ring (virtio 1.3, 2.8). Buffer ids are deliberately no slot numbers.</summary>
public sealed unsafe partial class PackedDriverRing : DriverRing
{
    private const ushort Next = 1;
    private const ushort Write = 2;
    private const ushort Indirect = 4;
    private const ushort AvailableBit = 1 << 7;
    private const ushort UsedBit = 1 << 15;

    private readonly byte* _ring;
    private readonly uint* _driverEvent;
    private readonly uint* _deviceEvent;
    private readonly Stack<ushort> _ids = new();
    private readonly Dictionary<ushort, int> _slots = [];
    private readonly Queue<ushort> _inOrder = new();
    private int _nextAvail;
    private bool _availWrap = true;
    private int _nextUsed;
    private bool _usedWrap = true;
    private int _addedSinceKick;

    internal PackedDriverRing(TestMemory memory, int size, ulong features, GuestAddress ring, GuestAddress driver, GuestAddress device)
        : base(memory, size, features, ring, driver, device)
    {
        _ring = memory.At(ring, 16UL * (ulong)size);
        _driverEvent = (uint*)memory.At(driver, 4);
        _deviceEvent = (uint*)memory.At(device, 4);
        for (int i = 0; i < size; i++)
            _ids.Push((ushort)(0xffff - (i * 3)));
    }

    /// <summary>The driver's event suppression: position, wrap counter in bit 15, flags in bits 16-17.</summary>
    public ref uint DriverEvent => ref *_driverEvent;

    /// <summary>The device's event suppression.</summary>
    public uint DeviceEvent => Volatile.Read(ref *_deviceEvent);

    /// <summary>Where the next chain goes, bit 15 the wrap counter.</summary>
    public ushort AvailPosition => (ushort)(_nextAvail | (_availWrap ? 0x8000 : 0));

    /// <summary>Where the next used descriptor is expected, bit 15 the wrap counter.</summary>
    public ushort UsedPosition => (ushort)(_nextUsed | (_usedWrap ? 0x8000 : 0));

    /// <summary>Writes the next descriptor, whatever it says, and makes it available at once.</summary>
    public void WriteNext(GuestAddress address, uint length, ushort flags, ushort id)
    {
        byte* at = _ring + (16 * _nextAvail);
        *(ulong*)at = address.Value;
        *(uint*)(at + 8) = length;
        *(ushort*)(at + 12) = id;
        Volatile.Write(ref *(ushort*)(at + 14), (ushort)(flags | (_availWrap ? AvailableBit : UsedBit)));
        Step(ref _nextAvail, ref _availWrap, 1);
    }

    public override bool NeedsKick()
    {
        int added = _addedSinceKick;
        _addedSinceKick = 0;
        if (added == 0)
            return false;

        // Full fence between our flags and the device's wish: partner of the device's fence in AllowKicks.
        Interlocked.MemoryBarrier();
        uint wish = DeviceEvent;
        switch (wish >> 16)
        {
            case 0:
                return true;
            case 1:
                return false;
            default:
                // Steps from the wished position to ours, in two laps.
                int position = (int)(wish & 0x7fff) + (((wish & 0x8000) != 0) == _availWrap ? 0 : Size);
                int behind = (((_nextAvail - position - 1) % (2 * Size)) + (2 * Size)) % (2 * Size);
                return behind < added;
        }
    }

    public override bool AllowInterrupts()
    {
        AllowInterruptsAfter(0);
        return IsUsed();
    }

    public override void AllowInterruptsAfter(int entries)
    {
        int position = _nextUsed;
        bool wrap = _usedWrap;
        Step(ref position, ref wrap, entries);
        uint wish = EventIndex ? (2u << 16) | (uint)(position | (wrap ? 0x8000 : 0)) : 0;
        Volatile.Write(ref *_driverEvent, wish);
        Interlocked.MemoryBarrier();
    }

    public override void SuppressInterrupts() => Volatile.Write(ref *_driverEvent, 1 << 16);

    private protected override ushort AddChain(ReadOnlySpan<GuestRange> buffers, bool indirect)
    {
        ushort id = _ids.Pop();
        int slots = indirect ? 1 : buffers.Length;
        FreeDescriptors -= slots;
        _addedSinceKick += slots;
        _slots[id] = slots;
        _inOrder.Enqueue(id);
        if (indirect)
        {
            WriteNext(WriteTable(id, buffers), (uint)(16 * buffers.Length), Indirect, id);
            return id;
        }

        // The head's flags last: with them the chain is there.
        byte* head = _ring + (16 * _nextAvail);
        ushort headFlags = 0;
        for (int i = 0; i < buffers.Length; i++)
        {
            byte* at = _ring + (16 * _nextAvail);
            ushort flags = (ushort)((buffers[i].Writable ? Write : 0) | (i == buffers.Length - 1 ? 0 : Next) | (_availWrap ? AvailableBit : UsedBit));
            *(ulong*)at = buffers[i].Address.Value;
            *(uint*)(at + 8) = buffers[i].Length;

            // Only the last descriptor's id counts; the others say something else.
            *(ushort*)(at + 12) = i == buffers.Length - 1 ? id : (ushort)0xdead;
            if (i == 0)
                headFlags = flags;
            else
                *(ushort*)(at + 14) = flags;

            Step(ref _nextAvail, ref _availWrap, 1);
        }

        Volatile.Write(ref *(ushort*)(head + 14), headFlags);
        return id;
    }

    private protected override bool TryTakeUsed(out UsedBuffer used)
    {
        used = default;
        if (!IsUsed())
            return false;

        byte* at = _ring + (16 * _nextUsed);
        uint written = *(uint*)(at + 8);
        bool wrote = (*(ushort*)(at + 14) & Write) != 0;
        if (wrote != (written != 0))
            throw new InvalidOperationException($"the device wrote {written} bytes and says WRITE is {wrote}");

        used = new UsedBuffer(*(ushort*)(at + 12), written);
        if (!_slots.TryGetValue(used.Id, out int slots))
            throw new InvalidOperationException($"the device used chain {used.Id}, which it does not have");

        if (InOrder && _inOrder.Dequeue() != used.Id)
            throw new InvalidOperationException($"the device used chain {used.Id} out of order");

        Step(ref _nextUsed, ref _usedWrap, slots);
        return true;
    }

    private protected override void Release(ushort id)
    {
        _slots.Remove(id, out int slots);
        FreeDescriptors += slots;
        _ids.Push(id);
    }

    private bool IsUsed()
    {
        ushort flags = Volatile.Read(ref *(ushort*)(_ring + (16 * _nextUsed) + 14));
        bool available = (flags & AvailableBit) != 0;
        return available == ((flags & UsedBit) != 0) && available == _usedWrap;
    }

    private void Step(ref int position, ref bool wrap, int slots)
    {
        position += slots;
        if (position >= Size)
        {
            position -= Size;
            wrap = !wrap;
        }
    }

    private GuestAddress WriteTable(ushort id, ReadOnlySpan<GuestRange> buffers)
    {
        GuestAddress table = TakeTable(id, buffers.Length);
        byte* at = Memory.At(table, 16UL * (ulong)buffers.Length);
        for (int i = 0; i < buffers.Length; i++)
            WriteEntry(at + (16 * i), buffers[i].Address, buffers[i].Length, buffers[i].Writable ? Write : (ushort)0);

        return table;
    }

    private static void WriteEntry(byte* at, GuestAddress address, uint length, ushort flags)
    {
        *(ulong*)at = address.Value;
        *(uint*)(at + 8) = length;
        *(ushort*)(at + 12) = 0xbad;
        *(ushort*)(at + 14) = flags;
    }
}
