using XenMemoryProvider.Abi;

namespace XenModel.Memory;

/// <summary>Caching that a device model pinned for ranges of guest frames. Kept, and without effect: the model has no caches.</summary>
internal sealed class CacheAttributes
{
    private const int MaxRanges = 64;

    private readonly List<(ulong Start, ulong End, DmOp.CacheAttribute Type)> _ranges = [];

    /// <summary>0; -ENOENT: nothing to delete; -EINVAL: no such type; -EBUSY: overlaps another range; -ENOSPC.</summary>
    public int Pin(ulong start, ulong end, DmOp.CacheAttribute type)
    {
        int same = _ranges.FindIndex(range => range.Start == start && range.End == end);
        if (type == DmOp.CacheAttribute.Delete)
        {
            if (same < 0) return -(int)XenErrno.ENOENT;
            _ranges.RemoveAt(same);
            return 0;
        }

        if (!Enum.IsDefined(type)) return -(int)XenErrno.EINVAL;
        if (same >= 0)
        {
            _ranges[same] = (start, end, type);
            return 0;
        }

        if (_ranges.Any(range => start <= range.End && end >= range.Start)) return -(int)XenErrno.EBUSY;
        if (_ranges.Count >= MaxRanges) return -(int)XenErrno.ENOSPC;
        _ranges.Add((start, end, type));
        return 0;
    }
}
