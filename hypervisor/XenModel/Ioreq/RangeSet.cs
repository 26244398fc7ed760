namespace XenModel.Ioreq;

/// <summary>Ranges that a server claims: sorted, adjacent ones merged, at most so many.</summary>
internal sealed class RangeSet(int limit)
{
    private readonly List<(ulong Start, ulong End)> _ranges = [];

    public int Count => _ranges.Count;

    public bool Overlaps(ulong start, ulong end)
    {
        int index = FirstEndingAtOrAfter(start);
        return index < _ranges.Count && _ranges[index].Start <= end;
    }

    /// <summary>Is all of it in one range?</summary>
    public bool Contains(ulong start, ulong end)
    {
        int index = FirstEndingAtOrAfter(start);
        return index < _ranges.Count && _ranges[index].Start <= start && _ranges[index].End >= end;
    }

    /// <summary>Adds a range that overlaps none. False: the set is full.</summary>
    public bool TryAdd(ulong start, ulong end)
    {
        int index = FirstEndingAtOrAfter(start);
        bool before = index > 0 && _ranges[index - 1].End + 1 == start;
        bool after = index < _ranges.Count && end + 1 == _ranges[index].Start;
        if (before && after)
        {
            _ranges[index - 1] = (_ranges[index - 1].Start, _ranges[index].End);
            _ranges.RemoveAt(index);
        }
        else if (before)
        {
            _ranges[index - 1] = (_ranges[index - 1].Start, end);
        }
        else if (after)
        {
            _ranges[index] = (start, _ranges[index].End);
        }
        else
        {
            if (_ranges.Count >= limit) return false;
            _ranges.Insert(index, (start, end));
        }

        return true;
    }

    /// <summary>Takes a contained range out. False: it would split one range into two and the set is full.</summary>
    public bool TryRemove(ulong start, ulong end)
    {
        int index = FirstEndingAtOrAfter(start);
        (ulong first, ulong last) = _ranges[index];
        if (first < start && last > end)
        {
            if (_ranges.Count >= limit) return false;
            _ranges[index] = (first, start - 1);
            _ranges.Insert(index + 1, (end + 1, last));
        }
        else if (first < start)
        {
            _ranges[index] = (first, start - 1);
        }
        else if (last > end)
        {
            _ranges[index] = (end + 1, last);
        }
        else
        {
            _ranges.RemoveAt(index);
        }

        return true;
    }

    private int FirstEndingAtOrAfter(ulong start)
    {
        int low = 0, high = _ranges.Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (_ranges[middle].End < start) low = middle + 1;
            else high = middle;
        }

        return low;
    }
}
