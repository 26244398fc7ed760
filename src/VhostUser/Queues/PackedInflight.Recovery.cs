namespace VhostUser.Queues;

/// <content>Reads what a predecessor left.</content>
internal sealed unsafe partial class PackedInflight
{
    private Resubmit[] _resubmit = [];
    private int _resubmitted;

    /// <summary>Chains of the predecessor that are still to be popped.</summary>
    public bool HasResubmits => _resubmitted < _resubmit.Length;

    /// <summary>The next of them, oldest first.</summary>
    public Resubmit NextResubmit => _resubmit[_resubmitted];

    /// <summary>A chain of the predecessor was popped: it is written down already.</summary>
    public void Repopped() => _resubmitted++;

    public void Unrepopped() => _resubmitted--;

    /// <summary>Makes a new region's content.</summary>
    public void Initialise(int usedPosition, bool usedWrap)
    {
        for (int i = 0; i < _size; i++)
        {
            *Entry(i) = 0;
            _next[i] = (ushort)(i + 1);
            *(ushort*)(Entry(i) + 2) = _next[i];
        }

        _free = 0;
        _usedPosition = (ushort)usedPosition;
        _usedWrap = usedWrap;
        *(ulong*)_header = 0;
        *(ushort*)(_header + 10) = (ushort)_size;
        *(uint*)(_header + 12) = 0;
        WriteUsed(_usedPosition, usedWrap, _usedPosition, usedWrap);

        // The version last: a region half made is made again.
        Write16(_header + 8, InflightLayout.Version);
    }

    /// <summary>Reads the region, rolls back or commits what was in progress, and gathers the chains to pop again.</summary>
    /// <param name="ring">The descriptor ring: tells whether the last batch had become visible.</param>
    /// <param name="used">The used position to go on from.</param>
    /// <param name="wrap">Its wrap counter.</param>
    /// <param name="slots">Descriptors of the chains to pop again.</param>
    /// <param name="cause">Why the region cannot be read.</param>
    /// <returns>False when the region is new: <see cref="Initialise"/> it.</returns>
    public bool Recover(byte* ring, out int used, out bool wrap, out int slots, out string? cause)
    {
        used = 0;
        wrap = false;
        slots = 0;
        cause = null;
        ushort version = Volatile.Read(ref *(ushort*)(_header + 8));
        ushort entries = Volatile.Read(ref *(ushort*)(_header + 10));
        if (version == 0)
            return false;

        ulong word = Volatile.Read(ref *(ulong*)(_header + 16));
        uint heads = Volatile.Read(ref *(uint*)(_header + 12));
        ushort position = (ushort)word;
        ushort oldPosition = (ushort)(word >> 16);
        bool inProgressWrap = ((word >> 32) & 0xff) != 0;
        bool oldWrap = ((word >> 40) & 0xff) != 0;
        if (version > InflightLayout.Version || entries < _size || position >= _size || oldPosition >= _size)
        {
            cause = $"an in-flight region of version {version} for rings of {entries}, used positions {oldPosition} and {position}";
            return true;
        }

        ushort free = (ushort)(heads >> 16);
        if ((position != oldPosition || inProgressWrap != oldWrap) && IsVisible(ring, oldPosition, oldWrap))
        {
            free = (ushort)heads;
            oldPosition = position;
            oldWrap = inProgressWrap;
        }

        used = _usedPosition = oldPosition;
        wrap = _usedWrap = oldWrap;
        cause = Gather(free, out slots);
        return true;
    }

    /// <summary>The batch that began here is visible when the descriptor is no longer available in that lap.</summary>
    private static bool IsVisible(byte* ring, int position, bool wrap)
    {
        const ushort Both = VirtqDescriptor.Available | VirtqDescriptor.Used;
        ushort flags = Volatile.Read(ref *(ushort*)(ring + (position * VirtqDescriptor.Size) + 14));
        return (flags & Both) != (wrap ? VirtqDescriptor.Available : VirtqDescriptor.Used);
    }

    private string? Gather(ushort free, out int slots)
    {
        // What an entry belongs to: the free list, or one chain.
        bool[] taken = new bool[_size];
        for (int i = free, count = 0; i < _size && !taken[i] && count < _size; count++)
        {
            taken[i] = true;
            i = Volatile.Read(ref *(ushort*)(Entry(i) + 2));
        }

        slots = 0;
        bool[] chained = new bool[_size];
        List<Resubmit> found = [];
        for (int i = 0; i < _size; i++)
        {
            if (taken[i] || Volatile.Read(ref *Entry(i)) == 0)
                continue;

            int length = Volatile.Read(ref *(ushort*)(Entry(i) + 6));
            if (length == 0 || length > _size - slots || !TryReadChain(i, length, taken, chained, out Resubmit? chain))
                return $"an in-flight region that contradicts itself at entry {i}";

            slots += length;
            found.Add(chain);
        }

        found.Sort(static (a, b) => a.Counter != b.Counter ? a.Counter.CompareTo(b.Counter) : a.Head.CompareTo(b.Head));
        _resubmit = [.. found];
        _counter = found.Count == 0 ? 0 : unchecked(found[^1].Counter + 1);
        LinkFree(chained);
        return null;
    }

    private bool TryReadChain(int head, int length, bool[] taken, bool[] chained, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Resubmit? chain)
    {
        chain = null;
        VirtqDescriptor[] descriptors = new VirtqDescriptor[length];
        int index = head;
        int last = head;
        for (int i = 0; i < length; i++)
        {
            if (index >= _size || taken[index] || chained[index])
                return false;

            chained[index] = true;
            byte* entry = Entry(index);
            ulong low = Volatile.Read(ref *(ulong*)(entry + 16));
            descriptors[i] = new VirtqDescriptor(Volatile.Read(ref *(ulong*)(entry + 24)), (low >> 32) | (low << 32));
            last = index;
            index = _next[last] = Volatile.Read(ref *(ushort*)(entry + 2));
        }

        _last[head] = (ushort)last;
        chain = new Resubmit((ushort)head, Volatile.Read(ref *(ulong*)(Entry(head) + 8)), descriptors);
        return true;
    }

    /// <summary>Makes the free list of all entries that no chain has, and commits it.</summary>
    private void LinkFree(bool[] chained)
    {
        // Not in flight first: the links may be cut at any point, what is not in flight stays so.
        ushort head = (ushort)_size;
        for (int i = 0; i < _size; i++)
        {
            if (!chained[i] && Volatile.Read(ref *Entry(i)) != 0)
                Write8(Entry(i), 0);
        }

        for (int i = _size - 1; i >= 0; i--)
        {
            if (chained[i])
                continue;

            _next[i] = head;
            Write16(Entry(i) + 2, head);
            head = (ushort)i;
        }

        _free = head;
        Write32(_header + 12, head | ((uint)head << 16));
        WriteUsed(_usedPosition, _usedWrap, _usedPosition, _usedWrap);
    }

    /// <summary>A chain to pop again, as the region kept it.</summary>
    /// <param name="Head">Its head entry.</param>
    /// <param name="Counter">Its place in the order of popping.</param>
    /// <param name="Descriptors">As they were in the ring.</param>
    internal sealed record Resubmit(ushort Head, ulong Counter, VirtqDescriptor[] Descriptors);
}
