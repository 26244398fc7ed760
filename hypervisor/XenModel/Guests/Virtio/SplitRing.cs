using System.Runtime.CompilerServices;

namespace XenModel.Guests.Virtio;

/// <summary>
/// The driver's side of a split virtqueue (virtio 1.3, 2.7), with indirect descriptors and event indexes where the device has
/// them. One thread at a time.
/// </summary>
internal sealed unsafe class SplitRing
{
    public const ushort Next = 1, Write = 2, Indirect = 4;
    private const int PageSize = 4096;
    private const ushort NoInterrupt = 1, NoNotify = 1;

    private readonly int _size;
    private readonly bool _events;
    private readonly DmaBuffer _descriptors, _available, _used;
    private readonly ushort[] _free;
    private readonly ushort[] _chainLengths;
    private readonly ushort[][] _chains;
    private int _freeCount;
    private ushort _availableIndex, _kickedIndex, _usedIndex;

    /// <param name="size">Descriptors, a power of two.</param>
    public SplitRing(DmaMemory memory, int size, bool eventIndex)
    {
        _size = size;
        _events = eventIndex;

        // Pages of their own, as Linux's: granted rings are mapped for good, and buffers come and go.
        _descriptors = memory.Allocate(16 * size, PageSize);
        _available = memory.Allocate(6 + 2 * size, 2);
        _used = memory.Allocate(6 + 8 * size, 4);
        memory.Allocate(0, PageSize);
        _free = [.. Enumerable.Range(0, size).Select(static i => (ushort)i)];
        _freeCount = size;
        _chainLengths = new ushort[size];
        _chains = [.. Enumerable.Range(0, size).Select(static _ => new ushort[8])];
    }

    public int Size => _size;

    public ulong Descriptors => _descriptors.Address;

    public ulong Driver => _available.Address;

    public ulong Device => _used.Address;

    /// <summary>Descriptors that are not in use.</summary>
    public int Free => _freeCount;

    /// <summary>There is a used entry that was not taken.</summary>
    public bool HasUsed => Volatile.Read(ref UsedIndex) != _usedIndex;

    private ref ushort UsedIndex => ref Unsafe.AsRef<ushort>(_used.Pointer + 2);

    // The driver's event index lies behind the available ring, the device's behind the used one.
    private ref ushort UsedEvent => ref Unsafe.AsRef<ushort>(_available.Pointer + 4 + 2 * _size);

    private ref ushort AvailableEvent => ref Unsafe.AsRef<ushort>(_used.Pointer + 4 + 8 * _size);

    /// <summary>Makes buffers available: those to read first, then those to write.</summary>
    /// <param name="table">Where an indirect table may be put, 16 bytes a buffer; null for a chain in the ring.</param>
    /// <param name="head">The name of the request: <see cref="TryTake"/> says it again.</param>
    /// <returns>False: the ring is full.</returns>
    public bool TryAdd(ReadOnlySpan<DmaBuffer> readable, ReadOnlySpan<DmaBuffer> writable, DmaBuffer? table, out ushort head)
    {
        head = 0;
        int count = readable.Length + writable.Length;
        int needed = table is null ? count : 1;
        if (_freeCount < needed) return false;
        ushort[] chain = _chains[_free[_freeCount - 1]];
        head = _free[_freeCount - 1];
        for (int i = 0; i < needed; i++) chain[i] = _free[--_freeCount];
        _chainLengths[head] = (ushort)needed;
        if (table is { } indirect) Describe(_descriptors.Pointer, head, indirect.Address, 16 * count, Indirect, 0);
        for (int i = 0; i < count; i++)
        {
            DmaBuffer buffer = i < readable.Length ? readable[i] : writable[i - readable.Length];
            ushort flags = (ushort)((i < readable.Length ? 0 : Write) | (i + 1 < count ? Next : 0));
            if (table is { } list) Describe(list.Pointer, i, buffer.Address, buffer.Length, flags, (ushort)(i + 1 < count ? i + 1 : 0));
            else Describe(_descriptors.Pointer, chain[i], buffer.Address, buffer.Length, flags, i + 1 < count ? chain[i + 1] : (ushort)0);
        }

        *(ushort*)(_available.Pointer + 4 + 2 * (_availableIndex % _size)) = head;
        _availableIndex++;

        // Releases: the entry and what it leads to are in place before the device sees the index.
        Volatile.Write(ref *(ushort*)(_available.Pointer + 2), _availableIndex);
        return true;
    }

    /// <summary>Does the device want to hear of what was made available since the last call?</summary>
    public bool ShouldKick()
    {
        if (_kickedIndex == _availableIndex) return false;

        // Pairs with the device's fence between allowing kicks and looking at the index again.
        Thread.MemoryBarrier();
        ushort old = _kickedIndex;
        _kickedIndex = _availableIndex;
        if (_events) return (ushort)(_availableIndex - Volatile.Read(ref AvailableEvent) - 1) < (ushort)(_availableIndex - old);
        return (Volatile.Read(ref *(ushort*)_used.Pointer) & NoNotify) == 0;
    }

    /// <summary>Asks for an interrupt with the next used entry.</summary>
    /// <returns>False: there is one already, so do not wait.</returns>
    public bool WantInterrupt()
    {
        if (_events) Volatile.Write(ref UsedEvent, _usedIndex);
        else Volatile.Write(ref *(ushort*)_available.Pointer, 0);

        // Pairs with the device's fence between publishing the used index and reading the event index.
        Thread.MemoryBarrier();
        return !HasUsed;
    }

    /// <summary>No interrupts while the driver looks for itself.</summary>
    public void SuppressInterrupts()
    {
        if (!_events) Volatile.Write(ref *(ushort*)_available.Pointer, NoInterrupt);
    }

    /// <summary>Takes a used entry.</summary>
    /// <param name="head">The request.</param>
    /// <param name="written">Bytes that the device says it wrote.</param>
    /// <returns>False: there is none.</returns>
    /// <exception cref="GuestCheckException">The entry names nothing that was made available.</exception>
    public bool TryTake(out ushort head, out uint written)
    {
        head = 0;
        written = 0;
        if (!HasUsed) return false;
        uint* entry = (uint*)(_used.Pointer + 4 + 8 * (_usedIndex % _size));
        uint id = entry[0];
        written = entry[1];
        _usedIndex++;
        if (id >= (uint)_size || _chainLengths[id] == 0) throw new GuestCheckException($"used entry {_usedIndex - 1} names chain {id}, which is not in use");
        head = (ushort)id;
        for (int i = _chainLengths[id] - 1; i >= 0; i--) _free[_freeCount++] = _chains[id][i];
        _chainLengths[id] = 0;
        return true;
    }

    private static void Describe(byte* table, int at, ulong address, int length, ushort flags, ushort next)
    {
        byte* descriptor = table + 16 * at;
        *(ulong*)descriptor = address;
        *(uint*)(descriptor + 8) = (uint)length;
        *(ushort*)(descriptor + 12) = flags;
        *(ushort*)(descriptor + 14) = next;
    }
}
