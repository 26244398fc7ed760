using System.Numerics;
using XenMemoryProvider.Kernel;

namespace XenMemoryProvider.Memory;

/// <summary>Which pages of a mapping must not be touched: a bit each, made only when there is one.</summary>
internal sealed class HoleMap(int pages)
{
    private readonly ulong[] _words = new ulong[(pages + 63) / 64];

    internal int Count { get; private set; }

    internal void Add(int page)
    {
        _words[page >> 6] |= 1UL << (page & 63);
        Count++;
    }

    /// <param name="offset">Bytes from the start of the mapping; the part lies inside it.</param>
    internal bool IsFree(ulong offset, ulong length)
    {
        if (length == 0) return true;
        int first = (int)(offset >> XenPage.Shift);
        int last = (int)((offset + (length - 1)) >> XenPage.Shift);
        for (int word = first >> 6; word <= last >> 6; word++)
        {
            ulong bits = _words[word];
            if (word == first >> 6) bits &= ulong.MaxValue << (first & 63);
            if (word == last >> 6) bits &= ulong.MaxValue >> (63 - (last & 63));
            if (bits != 0) return false;
        }
        return true;
    }

    /// <summary>The first few holes, for a message: "5, 9-17, ...".</summary>
    internal string Describe(ulong firstPage, int most = 4)
    {
        var text = new System.Text.StringBuilder();
        for (int page = Next(0), shown = 0; page >= 0; shown++)
        {
            if (shown != 0) text.Append(", ");
            if (shown == most) return text.Append("...").ToString();
            int end = page;
            while (end + 1 < pages && (_words[(end + 1) >> 6] >> ((end + 1) & 63) & 1) != 0) end++;
            text.Append(System.Globalization.CultureInfo.InvariantCulture, $"0x{firstPage + (ulong)page:x}");
            if (end != page) text.Append(System.Globalization.CultureInfo.InvariantCulture, $"-0x{firstPage + (ulong)end:x}");
            page = Next(end + 1);
        }
        return text.ToString();
    }

    private int Next(int from)
    {
        for (int page = from; page < pages;)
        {
            ulong bits = _words[page >> 6] >> (page & 63);
            if (bits != 0) return page + BitOperations.TrailingZeroCount(bits) is var found && found < pages ? found : -1;
            page = (page | 63) + 1;
        }
        return -1;
    }
}
