using XenModel.Memory;

namespace XenModel.Grants;

/// <summary>The mappings a domain holds, by handle. Handles come back last in, last out, as late as possible.</summary>
internal sealed class MapTrack(int maxFrames)
{
    private const int PerFrame = 256;

    private readonly List<Entry> _entries = [];
    private readonly Queue<uint> _free = new();

    // One entry marks the end of the free list and is never handed out.
    private readonly int _limit = Math.Max(0, maxFrames * PerFrame - 1);

    /// <summary>Mappings held.</summary>
    public int Count { get; private set; }

    public IEnumerable<uint> Handles => Enumerable.Range(0, _entries.Count).Where(handle => _entries[handle].Flags != 0).Select(handle => (uint)handle);

    public bool TryReserve(out uint handle)
    {
        if (_entries.Count < _limit)
        {
            handle = (uint)_entries.Count;
            _entries.Add(default);
        }
        else if (!_free.TryDequeue(out handle))
        {
            return false;
        }

        Count++;
        return true;
    }

    public Entry? Find(uint handle) => handle < (uint)_entries.Count && _entries[(int)handle].Flags != 0 ? _entries[(int)handle] : null;

    public void Set(uint handle, Entry entry) => _entries[(int)handle] = entry;

    public void Free(uint handle)
    {
        _entries[(int)handle] = default;
        _free.Enqueue(handle);
        Count--;
    }

    /// <summary>One mapping.</summary>
    /// <param name="Flags">Map flags; 0 for a free entry.</param>
    /// <param name="Domid">The granter.</param>
    /// <param name="Reference">Its grant.</param>
    /// <param name="Frame">What is mapped.</param>
    public readonly record struct Entry(uint Flags, ushort Domid, uint Reference, FrameReference Frame);
}
