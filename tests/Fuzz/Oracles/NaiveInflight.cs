using System.Runtime.InteropServices;

namespace Fuzz.Oracles;

/// <summary>
/// What an in-flight region says is under way, by the text of vhost-user ("Inflight I/O tracking"), from a copy of region
/// and ring and with no code of the product's.
/// </summary>
internal static class NaiveInflight
{
    /// <summary>A split ring's region.</summary>
    /// <param name="region">The queue's part.</param>
    /// <param name="size">Entries of the ring.</param>
    /// <param name="used">The ring's used index.</param>
    /// <param name="broken">It cannot be read.</param>
    /// <returns>Heads in the order they are to be done again; null for a new region.</returns>
    public static List<int>? Split(ReadOnlySpan<byte> region, int size, ushort used, out bool broken)
    {
        ushort version = Word(region, 8);
        broken = version > 1 || (version == 1 && Word(region, 10) < size);
        int batch = (used - Word(region, 14)) & 0xffff;
        if (version == 0 || broken || batch > size)
            return null;

        bool[] inFlight = new bool[size];
        for (int i = 0; i < size; i++)
            inFlight[i] = region[16 + (16 * i)] != 0;

        int head = Word(region, 12);
        while (batch-- > 0 && head < size)
        {
            inFlight[head] = false;
            head = Word(region, 16 + (16 * head) + 6);
        }

        return Ordered(region, size, inFlight, 16, 16);
    }

    /// <summary>A packed ring's region.</summary>
    /// <param name="ring">Its descriptors.</param>
    public static List<int>? Packed(ReadOnlySpan<byte> region, int size, ReadOnlySpan<byte> ring, out bool broken)
    {
        ushort version = Word(region, 8);
        (int at, int oldAt) = (Word(region, 16), Word(region, 18));
        (bool wrap, bool oldWrap) = (region[20] != 0, region[21] != 0);
        broken = version > 1 || (version == 1 && (Word(region, 10) < size || at >= size || oldAt >= size));
        if (version == 0 || broken)
            return null;

        // The batch in progress counts once its first descriptor is no longer the driver's.
        int free = Word(region, 14);
        if ((at, wrap) != (oldAt, oldWrap))
        {
            ushort flags = Word(ring, (16 * oldAt) + 14);
            bool available = ((flags & 0x80) != 0) == oldWrap && ((flags & 0x8000) != 0) != oldWrap;
            free = available ? free : Word(region, 12);
        }

        HashSet<int> taken = [];
        while (free < size && taken.Add(free))
            free = Word(region, 32 + (32 * free) + 2);

        bool[] inFlight = new bool[size];
        HashSet<int> chained = [];
        for (int i = 0; i < size && !broken; i++)
        {
            inFlight[i] = region[32 + (32 * i)] != 0 && !taken.Contains(i);
            if (!inFlight[i])
                continue;

            int length = Word(region, 32 + (32 * i) + 6);
            broken |= length == 0;
            int entry = i;
            for (; length > 0 && !broken; length--)
            {
                broken |= entry >= size || taken.Contains(entry) || !chained.Add(entry);
                if (!broken)
                    entry = Word(region, 32 + (32 * entry) + 2);
            }
        }

        return broken ? null : Ordered(region, size, inFlight, 32, 32);
    }

    private static List<int> Ordered(ReadOnlySpan<byte> region, int size, bool[] inFlight, int header, int entry)
    {
        ulong[] counters = new ulong[size];
        for (int i = 0; i < size; i++)
            counters[i] = MemoryMarshal.Read<ulong>(region[(header + (entry * i) + 8)..]);

        return [.. Enumerable.Range(0, size).Where(i => inFlight[i]).OrderBy(i => counters[i]).ThenBy(static i => i)];
    }

    private static ushort Word(ReadOnlySpan<byte> bytes, int at) => MemoryMarshal.Read<ushort>(bytes[at..]);
}
