using VhostUser.Memory;
using VhostUser.Protocol;

namespace TestKit;

/// <summary>The driver's side of a split ring (virtio 1.3, 2.7).</summary>
public sealed unsafe partial class SplitDriverRing : DriverRing
{
    private const ushort Next = 1;
    private const ushort Write = 2;
    private const ushort Indirect = 4;

    private readonly byte* _table;
    private readonly ushort* _avail;
    private readonly byte* _used;
    private readonly Stack<ushort> _free = new();
    private readonly ushort[][] _chains;
    private readonly Queue<ushort> _inOrder = new();
    private ushort _nextDescriptor;
    private ushort _availIndex;
    private ushort _kickedIndex;
    private ushort _usedIndex;

    internal SplitDriverRing(TestMemory memory, int size, ulong features, GuestAddress table, GuestAddress avail, GuestAddress used)
        : base(memory, size, features, table, avail, used)
    {
        (ulong tableBytes, ulong availBytes, ulong usedBytes) = Bytes(packed: false, size);
        _table = memory.At(table, tableBytes);
        _avail = (ushort*)memory.At(avail, availBytes);
        _used = memory.At(used, usedBytes);
        _chains = new ushort[size][];
        for (int i = size - 1; i >= 0; i--)
            _free.Push((ushort)i);
    }

    /// <summary>The driver's index as it is in the ring.</summary>
    public ref ushort AvailIndex => ref _avail[1];

    /// <summary>The device's index as it is in the ring.</summary>
    public ref ushort UsedIndex => ref *(ushort*)(_used + 2);

    /// <summary>Used-ring flags, written by the device.</summary>
    public ushort UsedFlags => Volatile.Read(ref *(ushort*)_used);

    /// <summary>avail_event, written by the device.</summary>
    public ushort AvailEvent => Volatile.Read(ref *(ushort*)(_used + 4 + (8 * Size)));

    /// <summary>used_event, written by the driver.</summary>
    public ref ushort UsedEvent => ref _avail[2 + Size];

    /// <summary>Writes a descriptor, whatever it says.</summary>
    public void WriteDescriptor(int index, GuestAddress address, uint length, ushort flags, ushort next = 0)
        => WriteDescriptor(_table + (16 * index), address, length, flags, next);

    /// <summary>Makes a head available, whatever it is.</summary>
    public void Offer(ushort head)
    {
        _avail[2 + (_availIndex & (Size - 1))] = head;
        _availIndex++;
        Volatile.Write(ref AvailIndex, _availIndex);
    }

    public override bool NeedsKick()
    {
        ushort old = _kickedIndex;
        ushort now = _availIndex;
        _kickedIndex = now;
        if (old == now)
            return false;

        // Full fence between our index and the device's wish: partner of the device's fence in AllowKicks.
        Interlocked.MemoryBarrier();
        return EventIndex ? (ushort)(now - AvailEvent - 1) < (ushort)(now - old) : (UsedFlags & 1) == 0;
    }

    public override bool AllowInterrupts()
    {
        AllowInterruptsAfter(0);
        return Volatile.Read(ref UsedIndex) != _usedIndex;
    }

    public override void AllowInterruptsAfter(int entries)
    {
        _avail[0] = 0;
        Volatile.Write(ref UsedEvent, (ushort)(_usedIndex + entries));
        Interlocked.MemoryBarrier();
    }

    public override void SuppressInterrupts()
    {
        _avail[0] = 1;
        Volatile.Write(ref UsedEvent, (ushort)(_usedIndex - 1));
    }

    private protected override ushort AddChain(ReadOnlySpan<GuestRange> buffers, bool indirect)
    {
        ushort[] chain = Take(indirect ? 1 : buffers.Length);
        if (indirect)
        {
            WriteDescriptor(chain[0], WriteTable(chain[0], buffers), (uint)(16 * buffers.Length), Indirect);
        }
        else
        {
            for (int i = 0; i < chain.Length; i++)
            {
                bool last = i == chain.Length - 1;
                WriteDescriptor(chain[i], buffers[i].Address, buffers[i].Length, Flags(buffers[i], last), last ? (ushort)0 : chain[i + 1]);
            }
        }

        _chains[chain[0]] = chain;
        Offer(chain[0]);
        return chain[0];
    }

    private protected override bool TryTakeUsed(out UsedBuffer used)
    {
        used = default;
        if (Volatile.Read(ref UsedIndex) == _usedIndex)
            return false;

        uint* entry = (uint*)(_used + 4 + (8 * (_usedIndex & (Size - 1))));
        _usedIndex++;
        if (entry[0] >= (uint)Size)
            throw new InvalidOperationException($"the device used head {entry[0]} of a ring of {Size}");

        used = new UsedBuffer((ushort)entry[0], entry[1]);
        if (InOrder && _inOrder.Dequeue() != used.Id)
            throw new InvalidOperationException($"the device used chain {used.Id} out of order");

        return true;
    }

    private protected override void Release(ushort id)
    {
        ushort[] chain = _chains[id];
        FreeDescriptors += chain.Length;
        if (!InOrder)
        {
            foreach (ushort index in chain)
                _free.Push(index);
        }
    }

    private ushort[] Take(int count)
    {
        ushort[] chain = new ushort[count];
        FreeDescriptors -= count;
        for (int i = 0; i < count; i++)
        {
            // IN_ORDER: descriptors in ring order, chain after chain (2.7.9).
            chain[i] = InOrder ? (ushort)(_nextDescriptor++ & (Size - 1)) : _free.Pop();
        }

        if (InOrder)
            _inOrder.Enqueue(chain[0]);

        return chain;
    }

    private GuestAddress WriteTable(ushort id, ReadOnlySpan<GuestRange> buffers)
    {
        GuestAddress table = TakeTable(id, buffers.Length);
        byte* at = Memory.At(table, 16UL * (ulong)buffers.Length);
        for (int i = 0; i < buffers.Length; i++)
            WriteDescriptor(at + (16 * i), buffers[i].Address, buffers[i].Length, Flags(buffers[i], i == buffers.Length - 1), (ushort)(i + 1));

        return table;
    }

    private static ushort Flags(in GuestRange buffer, bool last) => (ushort)((buffer.Writable ? Write : 0) | (last ? 0 : Next));

    private static void WriteDescriptor(byte* at, GuestAddress address, uint length, ushort flags, ushort next)
    {
        *(ulong*)at = address.Value;
        *(uint*)(at + 8) = length;
        *(ushort*)(at + 12) = flags;
        *(ushort*)(at + 14) = next;
    }
}
