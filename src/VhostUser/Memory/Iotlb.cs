using VhostUser.Protocol;

namespace VhostUser.Memory;

/// <summary>
/// The device's view of the guest's IOMMU (IOTLB_MSG): ranges of I/O virtual addresses and the guest addresses
/// behind them. Written by the session, read by workers; a miss asks the front-end and the chain waits.
/// </summary>
public sealed class Iotlb
{
    private readonly Lock _lock = new();
    private readonly SortedList<ulong, Entry> _entries = [];
    private readonly Action<ulong, bool> _miss;

    /// <param name="miss">Sends an IOTLB miss for an address, for writing or not; any thread.</param>
    public Iotlb(Action<ulong, bool> miss) => _miss = miss;

    /// <summary>Largest number of entries kept; the oldest address goes first.</summary>
    public const int Capacity = 2048;

    /// <summary>Adds or replaces a translation (VHOST_IOTLB_UPDATE).</summary>
    public void Update(ulong iova, ulong size, GuestAddress target, bool read, bool write)
    {
        if (size == 0 || iova > ulong.MaxValue - (size - 1))
            return;

        lock (_lock)
        {
            InvalidateLocked(iova, size);
            if (_entries.Count >= Capacity)
                _entries.RemoveAt(0);

            _entries[iova] = new Entry(iova, size, target.Value, read, write);
        }
    }

    /// <summary>Drops every translation that touches a range (VHOST_IOTLB_INVALIDATE).</summary>
    public void Invalidate(ulong iova, ulong size)
    {
        if (size == 0)
            return;

        lock (_lock)
            InvalidateLocked(iova, size);
    }

    /// <summary>
    /// Translates one chain's ranges into guest addresses; adds pieces to <paramref name="output"/>. From one entry to
    /// another it goes <see cref="Capacity"/> times at most: a chain that needs more has no place here, and one that goes to
    /// and fro between entries of a few bytes would make pieces without end.
    /// </summary>
    public TranslateResult TryTranslate(ReadOnlySpan<GuestRange> ranges, List<GuestRange> output)
    {
        ulong? current = null;
        int changes = 0;
        foreach (ref readonly GuestRange range in ranges)
        {
            ulong iova = range.Address.Value;
            uint left = range.Length;
            do
            {
                if (!TryFind(iova, range.Writable, out Entry entry))
                {
                    _miss(iova, range.Writable);
                    return TranslateResult.Missing;
                }

                if (entry.Iova != current)
                {
                    current = entry.Iova;
                    if (++changes > Capacity)
                        return TranslateResult.TooScattered;
                }

                ulong offset = iova - entry.Iova;
                uint part = (uint)Math.Min(left, entry.Size - offset);
                output.Add(new GuestRange(new GuestAddress(entry.Target + offset), part, range.Writable));
                iova += part;
                left -= part;
            }
            while (left != 0);
        }

        return TranslateResult.Ok;
    }

    private bool TryFind(ulong iova, bool write, out Entry entry)
    {
        lock (_lock)
        {
            int index = FloorIndex(iova);
            if (index >= 0)
            {
                entry = _entries.GetValueAtIndex(index);
                if (iova - entry.Iova < entry.Size && (write ? entry.Write : entry.Read))
                    return true;
            }
        }

        entry = default;
        return false;
    }

    private void InvalidateLocked(ulong iova, ulong size)
    {
        ulong last = iova > ulong.MaxValue - (size - 1) ? ulong.MaxValue : iova + (size - 1);
        int index = Math.Max(FloorIndex(iova), 0);
        while (index < _entries.Count)
        {
            Entry entry = _entries.GetValueAtIndex(index);
            if (entry.Iova > last)
                break;

            if (entry.Iova + (entry.Size - 1) >= iova)
                _entries.RemoveAt(index);
            else
                index++;
        }
    }

    /// <summary>Index of the last entry that starts at or before an address, or -1.</summary>
    private int FloorIndex(ulong iova)
    {
        int low = 0;
        int high = _entries.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) >> 1;
            if (_entries.GetKeyAtIndex(middle) <= iova)
                low = middle + 1;
            else
                high = middle - 1;
        }

        return high;
    }

    private readonly record struct Entry(ulong Iova, ulong Size, ulong Target, bool Read, bool Write);
}
