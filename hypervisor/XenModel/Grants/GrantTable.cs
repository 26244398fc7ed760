using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Memory;

namespace XenModel.Grants;

/// <summary>
/// A domain's grant table: the frames it shares with the guest, which entries are in use, and the mappings the domain holds of
/// others' grants. The guest writes the entries whenever it likes: each is read once, checked, and changed by exchanges.
/// Callers hold the hypervisor's gate.
/// </summary>
internal sealed unsafe partial class GrantTable
{
    private readonly Domain _domain;
    private readonly List<FrameReference> _shared = [];
    private readonly List<FrameReference> _status = [];
    private readonly Dictionary<uint, ActiveGrant> _active = [];
    private readonly Stack<ActiveGrant> _spare = new();

    public GrantTable(Domain domain)
    {
        _domain = domain;
        Tracked = new MapTrack(domain.Options.MaxMaptrackFrames);
        Grow(1);
    }

    public uint Version { get; private set; } = 1;

    public int FrameCount => _shared.Count;

    public int StatusFrameCount => _status.Count;

    public int MaxFrames => _domain.Options.MaxGrantFrames;

    public uint EntryCount => (uint)(_shared.Count * EntriesPerPage);

    /// <summary>The mappings this domain holds.</summary>
    public MapTrack Tracked { get; }

    /// <summary>Entries in use by others.</summary>
    public int ActiveCount => _active.Count;

    private int EntriesPerPage => Version == 1 ? GrantTableOp.EntriesPerPageV1 : GrantTableOp.EntriesPerPageV2;

    /// <summary>Makes the table that many frames long. False: too many, or no memory.</summary>
    public bool Grow(int frames)
    {
        if (frames > MaxFrames || !Extend(_shared, frames)) return false;
        return Version == 1 || Extend(_status, StatusFramesFor(_shared.Count));
    }

    public FrameReference SharedFrame(int index) => _shared[index];

    public FrameReference StatusFrame(int index) => _status[index];

    /// <summary>A frame for the guest's physmap; the table grows up to it.</summary>
    public int TryGetMapFrame(ulong index, out FrameReference frame)
    {
        bool status = Version == 2 && (index & MemoryOp.MapIdxGrantTableStatus) != 0;
        return TryGetFrame(status, status ? index & ~(ulong)MemoryOp.MapIdxGrantTableStatus : index, out frame);
    }

    /// <summary>A frame as a resource of this domain.</summary>
    public int TryGetResourceFrame(uint id, ulong index, out FrameReference frame)
    {
        frame = default;
        if (id > MemoryOp.GrantTableIdStatus || (id == MemoryOp.GrantTableIdStatus && Version != 2)) return -(int)XenErrno.EINVAL;
        return TryGetFrame(id == MemoryOp.GrantTableIdStatus, index, out frame);
    }

    public uint ResourceSize(uint id) => id switch
    {
        MemoryOp.GrantTableIdShared => (uint)MaxFrames,
        MemoryOp.GrantTableIdStatus => (uint)StatusFramesFor(MaxFrames),
        _ => 0,
    };

    public ActiveGrant? FindActive(uint reference) => _active.GetValueOrDefault(reference);

    /// <summary>The domain dies: gives back the mappings it holds.</summary>
    public void ReleaseMappings()
    {
        foreach (uint handle in Tracked.Handles.ToArray()) UnmapWhole(handle);
    }

    /// <summary>The domain dies: its table goes. What others map of it stays theirs until they unmap it.</summary>
    public void Release()
    {
        foreach (FrameReference frame in _shared) frame.Release();
        foreach (FrameReference frame in _status) frame.Release();
        _shared.Clear();
        _status.Clear();
    }

    public GrantEntryV1* EntryV1(uint reference) =>
        (GrantEntryV1*)_shared[(int)(reference / GrantTableOp.EntriesPerPageV1)].Page + reference % GrantTableOp.EntriesPerPageV1;

    public GrantEntryV2* EntryV2(uint reference) =>
        (GrantEntryV2*)_shared[(int)(reference / GrantTableOp.EntriesPerPageV2)].Page + reference % GrantTableOp.EntriesPerPageV2;

    public ref ushort StatusWord(uint reference) =>
        ref ((ushort*)_status[(int)(reference / GrantTableOp.StatusesPerPage)].Page)[reference % GrantTableOp.StatusesPerPage];

    // Flags and domain id of an entry of either version: its first four bytes.
    private ref uint Header(uint reference) => ref Version == 1 ? ref *(uint*)EntryV1(reference) : ref *(uint*)EntryV2(reference);

    private static int StatusFramesFor(int frames) =>
        (frames * GrantTableOp.EntriesPerPageV2 + GrantTableOp.StatusesPerPage - 1) / GrantTableOp.StatusesPerPage;

    private int TryGetFrame(bool status, ulong index, out FrameReference frame)
    {
        frame = default;
        List<FrameReference> frames = status ? _status : _shared;
        if (index >= (ulong)frames.Count)
        {
            ulong wanted = status ? index * (GrantTableOp.StatusesPerPage / GrantTableOp.EntriesPerPageV2) + 1 : index + 1;
            if (index >= int.MaxValue || wanted > (ulong)MaxFrames || !Grow((int)wanted)) return -(int)XenErrno.EINVAL;
        }

        frame = frames[(int)index];
        return 0;
    }

    private bool Extend(List<FrameReference> frames, int count)
    {
        while (frames.Count < count)
        {
            if (!_domain.Frames.TryAllocate(ram: false, out uint frame)) return false;
            frames.Add(new FrameReference(_domain.Frames, frame));
        }

        return true;
    }

    private ActiveGrant Activate(uint reference)
    {
        if (!_spare.TryPop(out ActiveGrant? active)) active = new ActiveGrant();
        _active.Add(reference, active);
        return active;
    }

    private void Deactivate(uint reference, ActiveGrant active)
    {
        _active.Remove(reference);
        active.Pins = default;
        active.TransitiveDomain = null;
        active.Frame = default;
        _spare.Push(active);
    }
}
