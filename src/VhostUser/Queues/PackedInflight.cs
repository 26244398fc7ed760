namespace VhostUser.Queues;

/// <summary>
/// What a packed ring writes down so that a successor knows the requests under way (vhost-user, "Inflight I/O
/// tracking"). Descriptors of chains under way are kept here, as used descriptors overwrite them in the ring.
/// PackedInflight.Recovery.cs reads what a predecessor left.
/// </summary>
/// <remarks>
/// A process may be killed between any two stores. Entries are taken from the front of a free list:
/// <c>old_free_head</c>, <c>old_used_idx</c> and <c>old_used_wrap_counter</c> are the state as it was committed, the
/// same without "old" the state in progress. Batches are linked only while they are published, so that no chain is
/// popped in between. After recovery nothing is read back: the front-end can write the region too.
/// SAFETY: the region holds a header and an entry per descriptor of the ring (checked by the constructor); all indices
/// come from private arrays and are below the ring's size. Stores are volatile so that the compiler keeps their order.
/// </remarks>
internal sealed unsafe partial class PackedInflight
{
    private readonly Action? _observer;
    private readonly byte* _header;
    private readonly byte* _entries;
    private readonly int _size;

    // The region's free list and, per head, the last entry of its chain.
    private readonly ushort[] _next;
    private readonly ushort[] _last;
    private readonly ushort[] _batch;

    // Descriptors of the chain that is being popped.
    private readonly VirtqDescriptor[] _staged;
    private int _batchCount;
    private ushort _free;
    private ulong _counter;
    private ushort _usedPosition;
    private bool _usedWrap;

    /// <exception cref="ArgumentException">The region is too short: the caller's mistake.</exception>
    public PackedInflight(InflightQueueRegion region, int size)
    {
        if (region.Length < InflightLayout.Bytes(packed: true, size))
            throw new ArgumentException($"an in-flight region of {region.Length} bytes for a packed ring of {size}", nameof(region));

        _observer = region.StoreObserver;
        _header = region.Bytes;
        _entries = _header + InflightLayout.PackedHeader;
        _size = size;
        _next = new ushort[size];
        _last = new ushort[size];
        _batch = new ushort[size];
        _staged = new VirtqDescriptor[size];
    }

    /// <summary>A store was made, into the region or into the ring.</summary>
    public void Step() => _observer?.Invoke();

    /// <summary>Keeps a descriptor of the chain being popped.</summary>
    public void Stage(int index, in VirtqDescriptor descriptor) => _staged[index] = descriptor;

    /// <summary>A chain was popped: written down before anybody works on it.</summary>
    /// <returns>Its head entry.</returns>
    public ushort Popped(int slots)
    {
        ushort head = _free;
        byte* first = Entry(head);
        Write16(first + 6, 0);
        Write64(first + 8, _counter++);
        Write8(first, 1);
        ushort index = head;
        for (int i = 0; i < slots; i++)
        {
            bool last = i == slots - 1;
            if (last)
            {
                Write16(first + 4, index);
                _last[head] = index;
            }

            Write16(first + 6, (ushort)(i + 1));
            ref readonly VirtqDescriptor descriptor = ref _staged[i];
            byte* entry = Entry(index);
            Write64(entry + 16, descriptor.PackedId | ((ulong)descriptor.PackedFlags << 16) | ((ulong)descriptor.Length << 32));
            Write64(entry + 24, descriptor.Address);
            index = _next[index];
            Write16(_header + 12, index);
            if (last)
                Write16(_header + 14, index);
        }

        _free = index;
        return head;
    }

    /// <summary>The chain popped last goes back: its entries are the front of the free list again.</summary>
    public void Unpopped(ushort head)
    {
        // Both heads in one store. In the free list first: a successor takes what is there for not in flight.
        _free = head;
        Write32(_header + 12, head | ((uint)head << 16));
        Write8(Entry(head), 0);
    }

    /// <summary>A used descriptor was written; what the region says of it changes when the batch is published.</summary>
    public void Used(ushort head) => _batch[_batchCount++] = head;

    /// <summary>Links the batch into the free list and notes the used position, just before the head's flags show the batch.</summary>
    public void BeforePublish(int usedPosition, bool usedWrap)
    {
        for (int i = 0; i < _batchCount; i++)
        {
            ushort head = _batch[i];
            ushort last = _last[head];
            _next[last] = _free;
            Write16(Entry(last) + 2, _free);
            _free = head;
            Write16(_header + 12, head);
        }

        // Position and wrap counter, in progress and committed, are one aligned word: never seen apart.
        WriteUsed((ushort)usedPosition, usedWrap, _usedPosition, _usedWrap);
    }

    /// <summary>The batch is visible: nothing of it is in flight any more, and the state in progress is the committed one.</summary>
    public void AfterPublish(int usedPosition, bool usedWrap)
    {
        for (int i = 0; i < _batchCount; i++)
            Write8(Entry(_batch[i]), 0);

        _batchCount = 0;
        Write16(_header + 14, _free);
        _usedPosition = (ushort)usedPosition;
        _usedWrap = usedWrap;
        WriteUsed(_usedPosition, usedWrap, _usedPosition, usedWrap);
    }

    private byte* Entry(int index) => _entries + (index * InflightLayout.PackedEntry);

    private void WriteUsed(ushort position, bool wrap, ushort oldPosition, bool oldWrap)
        => Write64(_header + 16, position | ((ulong)oldPosition << 16) | (wrap ? 1UL << 32 : 0) | (oldWrap ? 1UL << 40 : 0));

    private void Write8(byte* at, byte value)
    {
        Volatile.Write(ref *at, value);
        Step();
    }

    private void Write16(byte* at, ushort value)
    {
        Volatile.Write(ref *(ushort*)at, value);
        Step();
    }

    private void Write32(byte* at, uint value)
    {
        Volatile.Write(ref *(uint*)at, value);
        Step();
    }

    private void Write64(byte* at, ulong value)
    {
        Volatile.Write(ref *(ulong*)at, value);
        Step();
    }
}
