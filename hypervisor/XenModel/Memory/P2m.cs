namespace XenModel.Memory;

/// <summary>
/// Guest frames to machine frames. Each present entry holds a reference of its frame. Sparse: tables of 512 entries come
/// with their first entry. Callers hold the hypervisor's gate.
/// </summary>
internal sealed class P2m
{
    private const int TableShift = 9;
    private const int TableSize = 1 << TableShift;

    private readonly Dictionary<ulong, P2mEntry[]> _tables = [];
    private readonly Dictionary<ulong, PagedPage> _paged = [];
    private readonly FramePool _pool;

    public P2m(FramePool pool) => _pool = pool;

    /// <summary>The highest guest frame an entry was ever made for.</summary>
    public ulong MaxGfn { get; private set; }

    /// <summary>x86 physical addresses have at most 52 bits.</summary>
    public const ulong GfnLimit = 1UL << 40;

    /// <summary>How often a paged-out frame is asked for until it is back.</summary>
    public int PageInAfter { get; set; } = 3;

    public P2mEntry this[ulong gfn] =>
        _tables.TryGetValue(gfn >> TableShift, out P2mEntry[]? table) ? table[(int)(gfn & (TableSize - 1))] : default;

    /// <summary>
    /// Puts a frame at a guest frame; the reference becomes the entry's. What was there is released.
    /// </summary>
    public void Set(ulong gfn, P2mType type, FrameReference frame)
    {
        Remove(gfn);
        Slot(gfn) = new P2mEntry(type, frame.Frame, frame.Pool);
        if (gfn > MaxGfn) MaxGfn = gfn;
    }

    /// <summary>Changes the type of what is there.</summary>
    public void SetType(ulong gfn, P2mType type)
    {
        ref P2mEntry slot = ref Slot(gfn);
        slot = slot with { Type = type };
    }

    /// <summary>Changes every entry of one type to another.</summary>
    public void ChangeTypes(P2mType from, P2mType to)
    {
        foreach (P2mEntry[] table in _tables.Values)
        {
            foreach (ref P2mEntry slot in table.AsSpan())
            {
                if (slot.Type == from) slot = slot with { Type = to };
            }
        }
    }

    /// <summary>Empties a guest frame. True if RAM was lost, so that device models must drop their mappings.</summary>
    public bool Remove(ulong gfn)
    {
        P2mEntry entry = this[gfn];
        if (entry.IsPaged)
        {
            _paged.Remove(gfn);
            Slot(gfn) = default;
            return true;
        }

        if (!entry.HoldsFrame) return false;
        Slot(gfn) = default;
        entry.Reference.Release();
        return entry.IsRam;
    }

    /// <summary>A new page of RAM. False: no memory left, or something is there.</summary>
    public bool TryPopulate(ulong gfn)
    {
        if (gfn >= GfnLimit || !_pool.TryAllocate(ram: true, out uint frame)) return false;
        Set(gfn, P2mType.Ram, new FrameReference(_pool, frame));
        return true;
    }

    /// <summary>A new page of RAM whose guest frame number is its machine frame number, as a PV domain has them. Null: no memory left.</summary>
    public ulong? TryAllocate()
    {
        if (!_pool.TryAllocate(ram: true, out uint frame)) return null;
        Set(_pool.Mfn(frame), P2mType.Ram, new FrameReference(_pool, frame));
        return _pool.Mfn(frame);
    }

    /// <summary>Gives a page to the pager. False if it is not plain RAM or somebody else uses it.</summary>
    public bool TryPageOut(ulong gfn)
    {
        P2mEntry entry = this[gfn];
        if (entry.Type != P2mType.Ram || entry.Pool != _pool || _pool.References(entry.Frame) != 1) return false;
        _paged[gfn] = new PagedPage(entry.Reference.Bytes.ToArray());
        Slot(gfn) = default;
        _pool.Release(entry.Frame);
        Slot(gfn) = new P2mEntry(P2mType.PagedOut, 0, null);
        return true;
    }

    /// <summary>Somebody needs a paged-out page: asks the pager, and after some asking it is back.</summary>
    public void RequestPageIn(ulong gfn)
    {
        if (!_paged.TryGetValue(gfn, out PagedPage? page)) return;
        Slot(gfn) = new P2mEntry(P2mType.PagingIn, 0, null);
        if (++page.Requests >= PageInAfter) PageIn(gfn);
    }

    /// <summary>Brings a paged-out page back. False: it was not, or there is no memory for it.</summary>
    public bool PageIn(ulong gfn)
    {
        if (!_paged.TryGetValue(gfn, out PagedPage? page) || !_pool.TryAllocate(ram: true, out uint frame)) return false;
        page.Contents.CopyTo(_pool.Bytes(frame));
        _paged.Remove(gfn);
        Slot(gfn) = new P2mEntry(P2mType.Ram, frame, _pool);
        return true;
    }

    /// <summary>The guest frames of a range where something is, paged out or not.</summary>
    public ulong[] OccupiedIn(ulong first, ulong last)
    {
        var found = new List<ulong>();
        foreach ((ulong number, P2mEntry[] table) in _tables)
        {
            for (int i = 0; i < TableSize; i++)
            {
                ulong gfn = (number << TableShift) + (uint)i;
                if (gfn >= first && gfn <= last && (table[i].HoldsFrame || table[i].IsPaged)) found.Add(gfn);
            }
        }

        found.Sort();
        return [.. found];
    }

    /// <summary>Empties everything.</summary>
    public void Clear()
    {
        foreach (P2mEntry[] table in _tables.Values)
        {
            foreach (ref P2mEntry slot in table.AsSpan())
            {
                P2mEntry entry = slot;
                slot = default;
                if (entry.HoldsFrame) entry.Reference.Release();
            }
        }

        _tables.Clear();
        _paged.Clear();
    }

    private ref P2mEntry Slot(ulong gfn)
    {
        if (!_tables.TryGetValue(gfn >> TableShift, out P2mEntry[]? table))
            _tables[gfn >> TableShift] = table = new P2mEntry[TableSize];
        return ref table[(int)(gfn & (TableSize - 1))];
    }

    private sealed class PagedPage(byte[] contents)
    {
        public byte[] Contents { get; } = contents;

        public int Requests { get; set; }
    }
}
