using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace XenModel.Memory;

/// <summary>
/// The machine frames of one domain, in one memfd. A frame lives while anything refers to it: the domain's own p2m, a
/// foreign mapping, a mapped grant, an ioreq server. So a page that was ballooned out under a mapping stays alive and stale
/// there, and its place is not handed out again. Callers hold the hypervisor's gate.
/// </summary>
internal sealed unsafe class FramePool : IDisposable
{
    public const int PageSize = 4096;
    public const int PageShift = 12;

    private readonly MappedMemory _memory;
    private readonly int[] _references;
    private readonly bool[] _countsAsRam;
    private readonly Stack<uint> _free = new();
    private readonly Action _gone;
    private uint _next;
    private bool _closing;

    /// <param name="maxRam">RAM pages at most.</param>
    /// <param name="maxXen">Pages that Xen keeps for the domain: grant tables, shared info, ioreq pages.</param>
    /// <param name="firstMfn">The machine frame number of frame 0.</param>
    /// <param name="gone">Called once, when the pool was asked to close and nothing refers to any frame.</param>
    public FramePool(string name, int maxRam, int maxXen, ulong firstMfn, Action gone)
    {
        MaxRam = maxRam;
        _gone = gone;
        Capacity = checked(maxRam + maxXen);
        FirstMfn = firstMfn;
        ulong bytes = (ulong)Capacity * PageSize;
        File = MemFd.Create(name, bytes, F_SEAL_SHRINK | F_SEAL_GROW);
        try
        {
            _memory = MappedMemory.Map(File, 0, (nuint)bytes, flags: MAP_SHARED | MAP_NORESERVE);
        }
        catch
        {
            File.Dispose();
            throw;
        }

        _references = new int[Capacity];
        _countsAsRam = new bool[Capacity];
    }

    public FileDescriptor File { get; }

    /// <summary>Keeps the mapping in place for a thread that uses pointers into it.</summary>
    public MappedMemory Memory => _memory;

    public int Capacity { get; }

    /// <summary>RAM pages at most.</summary>
    public int MaxRam { get; }

    public ulong FirstMfn { get; }

    /// <summary>RAM pages alive, also those that only a mapping keeps.</summary>
    public int RamInUse { get; private set; }

    /// <summary>Frames alive.</summary>
    public int InUse { get; private set; }

    /// <summary>A zeroed frame with one reference.</summary>
    /// <param name="ram">Does it count against the domain's memory?</param>
    /// <returns>False: the domain has what it may have.</returns>
    public bool TryAllocate(bool ram, out uint frame)
    {
        frame = 0;
        if (_closing || (ram && RamInUse >= MaxRam)) return false;
        if (!_free.TryPop(out frame))
        {
            if (_next >= (uint)Capacity) return false;
            frame = _next++;
        }

        _references[frame] = 1;
        _countsAsRam[frame] = ram;
        InUse++;
        if (ram) RamInUse++;
        return true;
    }

    public int References(uint frame) => _references[frame];

    public void AddReference(uint frame) => _references[frame]++;

    public void Release(uint frame)
    {
        int left = --_references[frame];
        if (left > 0) return;
        if (left < 0) throw new InvalidOperationException($"frame {frame} of {File} released too often");
        InUse--;
        if (_countsAsRam[frame]) RamInUse--;
        if (_closing)
        {
            if (InUse == 0) _gone();
            return;
        }

        // Punched, so that it reads as zeroes when it is handed out again and costs nothing until then.
        using FileDescriptor.Borrowed fd = File.Borrow();
        if (fallocate(fd.Value, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (long)frame * PageSize, PageSize) < 0)
            new Span<byte>(Page(frame), PageSize).Clear();
        _free.Push(frame);
    }

    /// <summary>From now on nothing is handed out; when the last reference goes, so does the pool.</summary>
    public void Close()
    {
        _closing = true;
        if (InUse == 0) _gone();
    }

    // SAFETY: a frame number below Capacity is within the mapping, which lives as long as this object (or a holder of Memory).
    public byte* Page(uint frame) => _memory.Pointer + (nuint)frame * PageSize;

    public Span<byte> Bytes(uint frame) => new(Page(frame), PageSize);

    public ulong Mfn(uint frame) => FirstMfn + frame;

    /// <summary>Gives the memory back even while somebody still has the file open. For when nobody maps any of it.</summary>
    public void Discard()
    {
        using (FileDescriptor.Borrowed fd = File.Borrow())
            _ = fallocate(fd.Value, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (long)Capacity * PageSize);
        Dispose();
    }

    public void Dispose()
    {
        _memory.Dispose();
        File.Dispose();
    }
}
