using System.Runtime.InteropServices;
using XenModel.Guests.Virtio;

namespace XenModel.Guests.Disks;

/// <summary>
/// One queue of a virtio-blk device and the requests of its part of the disk. Keeps as many in flight as there are slots,
/// none over another, and holds every answer against what must come.
/// </summary>
internal sealed unsafe class BlockLane(int index, DiskLedger ledger)
{
    private const byte StatusOk = 0, StatusNone = 0xff;
    private const int SectorSize = 512;
    private const int SectorsPerBlock = DiskPattern.BlockSize / SectorSize;
    private const int IdLength = 20;

    private readonly DiskLedger _ledger = new(ledger);
    private readonly Queue<DiskOperation> _again = new();
    private readonly Stack<BlockSlot> _free = new();
    private readonly List<BlockSlot> _inFlight = [];
    private BlockSlot?[] _byHead = [];
    private SplitRing? _ring;
    private bool _indirect;
    private IEnumerator<DiskOperation>? _source;
    private DiskOperation? _next;

    public int Index => index;

    public SplitRing Queue => _ring ?? throw new InvalidOperationException("the device is not set up");

    /// <summary>What this lane did.</summary>
    public DiskCounters Counters { get; } = new();

    /// <summary>All that it had to ask for it has asked for.</summary>
    public bool IsAllSubmitted => _next is null && _again.Count == 0;

    /// <summary>And all has been answered.</summary>
    public bool IsDone => IsAllSubmitted && _inFlight.Count == 0;

    /// <summary>New rings and slots. What was in flight in the old ones is asked for again.</summary>
    public void SetUp(DmaMemory memory, int queueSize, int depth, bool eventIndex, bool indirect)
    {
        foreach (BlockSlot slot in _inFlight) _again.Enqueue(slot.Operation);
        _inFlight.Clear();
        _free.Clear();
        _indirect = indirect;
        _ring = new SplitRing(memory, queueSize, eventIndex);
        _byHead = new BlockSlot?[queueSize];
        for (int i = 0; i < depth; i++) _free.Push(new BlockSlot(memory));
    }

    public void Begin(IEnumerable<DiskOperation> operations)
    {
        _source = operations.GetEnumerator();
        Advance();
    }

    /// <summary>Makes requests available until the slots or the ring are full, or the next one would touch blocks in flight.</summary>
    public void Fill()
    {
        while (!IsAllSubmitted && _free.TryPeek(out BlockSlot? slot))
        {
            bool again = _again.TryPeek(out DiskOperation operation);
            if (!again) operation = _next!.Value;
            if (IsBusy(operation)) return;
            slot.Operation = operation;
            if (!TryAdd(slot)) return;
            _free.Pop();
            _inFlight.Add(slot);
            Counters.MostInFlight = Math.Max(Counters.MostInFlight, _inFlight.Count);
            if (again) _again.Dequeue();
            else Advance();
            _ledger.Apply(operation);
        }
    }

    /// <summary>Takes and checks what the device has answered.</summary>
    /// <exception cref="GuestCheckException">It is not what must be.</exception>
    public void Reap()
    {
        while (Queue.TryTake(out ushort head, out uint written))
        {
            BlockSlot slot = _byHead[head]!;
            _byHead[head] = null;
            _inFlight.Remove(slot);
            Check(slot, written);
            _free.Push(slot);
        }
    }

    private void Advance() => _next = _source!.MoveNext() ? _source.Current : null;

    private bool IsBusy(in DiskOperation operation)
    {
        foreach (BlockSlot slot in _inFlight)
        {
            if (slot.Operation.Overlaps(operation)) return true;
        }

        return false;
    }

    private bool TryAdd(BlockSlot slot)
    {
        DiskOperation operation = slot.Operation;
        (uint type, bool isRead) = Prepare(slot);
        MemoryMarshal.Write(slot.Header.Bytes, type);
        MemoryMarshal.Write(slot.Header.Bytes[4..], 0u);
        ulong sector = operation.Kind is DiskOperationKind.Read or DiskOperationKind.Write ? (ulong)operation.Block * SectorsPerBlock : 0;
        MemoryMarshal.Write(slot.Header.Bytes[8..], sector);
        *slot.Status.Pointer = StatusNone;

        Span<DmaBuffer> buffers = stackalloc DmaBuffer[8];
        buffers[0] = slot.Header;
        int segments = slot.Length == 0 ? 0 : slot.Cut(buffers[1..]);
        buffers[1 + segments] = slot.Status;
        int readable = isRead ? 1 : 1 + segments;
        DmaBuffer? table = _indirect && (operation.Shape & 0x100) != 0 ? slot.Table : null;
        if (!Queue.TryAdd(buffers[..readable], buffers[readable..(2 + segments)], table, out ushort head)) return false;
        if (table is not null) Counters.IndirectRequests++;
        _byHead[head] = slot;
        return true;
    }

    // The request's data and its type (virtio 1.3, 5.2.6).
    private (uint Type, bool IsRead) Prepare(BlockSlot slot)
    {
        DiskOperation operation = slot.Operation;
        slot.Length = operation.Count * DiskPattern.BlockSize;
        switch (operation.Kind)
        {
            case DiskOperationKind.Write:
                for (int i = 0; i < operation.Count; i++)
                    DiskPattern.Fill(slot.Data.Slice(i * DiskPattern.BlockSize, DiskPattern.BlockSize).Bytes, _ledger.Seed, operation.Block + i, operation.Version);
                return (1, false);
            case DiskOperationKind.Read:
                slot.Data.Slice(0, slot.Length).Bytes.Fill(0xee);
                return (0, true);
            case DiskOperationKind.GetId:
                slot.Length = IdLength;
                return (8, true);
            case DiskOperationKind.Discard or DiskOperationKind.WriteZeroes:
                slot.Length = 16;
                MemoryMarshal.Write(slot.Data.Bytes, (ulong)operation.Block * SectorsPerBlock);
                MemoryMarshal.Write(slot.Data.Bytes[8..], (uint)operation.Count * SectorsPerBlock);
                MemoryMarshal.Write(slot.Data.Bytes[12..], 0u);
                return (operation.Kind == DiskOperationKind.Discard ? 11u : 13u, false);
            default:
                return (4, false);
        }
    }

    private void Check(BlockSlot slot, uint written)
    {
        DiskOperation operation = slot.Operation;
        byte status = *slot.Status.Pointer;
        if (status != StatusOk) throw new GuestCheckException($"queue {index}: {operation} ended with status {status}");
        bool isRead = operation.Kind is DiskOperationKind.Read or DiskOperationKind.GetId;
        if (written != (isRead ? (uint)slot.Length + 1 : 1)) throw new GuestCheckException($"queue {index}: {operation}: the device says it wrote {written} bytes");
        if (operation.Kind == DiskOperationKind.Read && _ledger.Compare(slot.Data.Slice(0, slot.Length).Bytes, operation.Block) is >= 0 and long wrong)
            throw new GuestCheckException($"queue {index}: block {wrong} does not hold version {_ledger.VersionOf(wrong)} after {operation}");
        Counters.Count(operation, slot.Length);
    }
}
