namespace VhostUser.Queues;

/// <summary>
/// What a split ring writes down so that a successor knows the requests under way (vhost-user, "Inflight I/O
/// tracking"). A process may be killed between any two stores here; each leaves a state that <see cref="Recover"/>
/// reads rightly. After <see cref="Recover"/> nothing is read back: the front-end can write the region too.
/// </summary>
/// <remarks>
/// SAFETY: the region holds a header and an entry per descriptor of the ring (checked by the constructor); heads are
/// below the ring's size. Stores are volatile so that the compiler keeps their order; the kernel makes all stores of
/// a dead process visible, so the order in the program is the order its successor sees.
/// </remarks>
internal sealed unsafe class SplitInflight
{
    private readonly Action? _observer;
    private readonly byte* _header;
    private readonly byte* _entries;
    private readonly int _size;
    private readonly ushort[] _batch;
    private ushort[] _resubmit = [];
    private int _resubmitted;
    private int _batchCount;
    private ushort _lastBatchHead;
    private ulong _counter;

    /// <exception cref="ArgumentException">The region is too short: the caller's mistake.</exception>
    public SplitInflight(InflightQueueRegion region, int size)
    {
        if (region.Length < InflightLayout.Bytes(packed: false, size))
            throw new ArgumentException($"an in-flight region of {region.Length} bytes for a split ring of {size}", nameof(region));

        _observer = region.StoreObserver;
        _header = region.Bytes;
        _entries = _header + InflightLayout.SplitHeader;
        _size = size;
        _batch = new ushort[size];
    }

    /// <summary>Chains of the predecessor that are still to be popped.</summary>
    public bool HasResubmits => _resubmitted < _resubmit.Length;

    /// <summary>The head of the next of them, oldest first.</summary>
    public ushort NextResubmit => _resubmit[_resubmitted];

    /// <summary>A store was made, into the region or into the ring.</summary>
    public void Step() => _observer?.Invoke();

    /// <summary>Reads what a predecessor left.</summary>
    /// <param name="usedIndex">The ring's used index.</param>
    /// <param name="popped">Chains the predecessor had popped and not given back; they are to be popped again.</param>
    /// <param name="cause">Why the region cannot be read.</param>
    /// <returns>False when the region is new, and <paramref name="popped"/> says nothing.</returns>
    public bool Recover(ushort usedIndex, out int popped, out string? cause)
    {
        popped = 0;
        cause = null;
        ushort version = Volatile.Read(ref *(ushort*)(_header + 8));
        ushort entries = Volatile.Read(ref *(ushort*)(_header + 10));
        int lastBatch = (ushort)(usedIndex - Volatile.Read(ref *(ushort*)(_header + 14)));
        if (version > InflightLayout.Version || (version != 0 && entries < _size))
        {
            cause = $"an in-flight region of version {version} for rings of {entries}";
            return true;
        }

        // A batch larger than the ring: the ring has begun anew since, and what was in flight is void.
        if (version == 0 || lastBatch > _size)
        {
            Initialise(usedIndex);
            return false;
        }

        if (lastBatch != 0)
            FinishBatch(usedIndex, lastBatch);

        popped = Gather();
        return true;
    }

    /// <summary>A chain was popped: written down before anybody works on it.</summary>
    public void Popped(ushort head)
    {
        byte* entry = Entry(head);
        Volatile.Write(ref *(ulong*)(entry + 8), _counter++);
        Step();
        Volatile.Write(ref *entry, 1);
        Step();
    }

    public void Unpopped(ushort head)
    {
        Volatile.Write(ref *Entry(head), 0);
        Step();
    }

    /// <summary>A chain of the predecessor was popped: it is written down already.</summary>
    public void Repopped() => _resubmitted++;

    public void Unrepopped() => _resubmitted--;

    /// <summary>A used entry was written; what the region says of it changes when the batch is published.</summary>
    public void Used(ushort head) => _batch[_batchCount++] = head;

    /// <summary>Links the batch, just before the used index moves.</summary>
    public void BeforePublish()
    {
        for (int i = 0; i < _batchCount; i++)
        {
            Volatile.Write(ref *(ushort*)(Entry(_batch[i]) + 6), _lastBatchHead);
            Step();
            _lastBatchHead = _batch[i];
            Volatile.Write(ref *(ushort*)(_header + 12), _lastBatchHead);
            Step();
        }
    }

    /// <summary>The used index has moved: nothing of the batch is in flight any more.</summary>
    /// <returns>The heads of the batch.</returns>
    public ReadOnlySpan<ushort> AfterPublish(ushort usedIndex)
    {
        int count = _batchCount;
        for (int i = 0; i < count; i++)
        {
            Volatile.Write(ref *Entry(_batch[i]), 0);
            Step();
        }

        Volatile.Write(ref *(ushort*)(_header + 14), usedIndex);
        Step();
        _batchCount = 0;
        return _batch.AsSpan(0, count);
    }

    private byte* Entry(int head) => _entries + (head * InflightLayout.SplitEntry);

    private void Initialise(ushort usedIndex)
    {
        for (int i = 0; i < _size; i++)
            Volatile.Write(ref *Entry(i), 0);

        *(ulong*)_header = 0;
        *(ushort*)(_header + 10) = (ushort)_size;
        *(ushort*)(_header + 12) = 0;
        *(ushort*)(_header + 14) = usedIndex;

        // The version last: a region half made is made again.
        Volatile.Write(ref *(ushort*)(_header + 8), InflightLayout.Version);
        Step();
    }

    /// <summary>The predecessor published a batch and died before it had written down that none of it is in flight.</summary>
    private void FinishBatch(ushort usedIndex, int count)
    {
        ushort head = Volatile.Read(ref *(ushort*)(_header + 12));
        for (; count > 0 && head < _size; count--)
        {
            Volatile.Write(ref *Entry(head), 0);
            Step();
            head = Volatile.Read(ref *(ushort*)(Entry(head) + 6));
        }

        Volatile.Write(ref *(ushort*)(_header + 14), usedIndex);
        Step();
    }

    private int Gather()
    {
        List<(ulong Counter, ushort Head)> found = [];
        for (int i = 0; i < _size; i++)
        {
            if (Volatile.Read(ref *Entry(i)) != 0)
                found.Add((Volatile.Read(ref *(ulong*)(Entry(i) + 8)), (ushort)i));
        }

        found.Sort();
        _resubmit = [.. found.Select(static entry => entry.Head)];
        _lastBatchHead = Volatile.Read(ref *(ushort*)(_header + 12));
        _counter = found.Count == 0 ? 0 : unchecked(found[^1].Counter + 1);
        return found.Count;
    }
}
