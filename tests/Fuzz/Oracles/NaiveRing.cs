using System.Runtime.InteropServices;
using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;

namespace Fuzz.Oracles;

/// <summary>
/// What the next chain of a ring is, read straight out of guest memory by the text of the standard (virtio 1.3, 2.7 and 2.8):
/// slowly, with a copy of everything, and with no code of the product's. One difference is allowed: a device may refuse an
/// indirect table that lies outside memory in a part that no chain uses.
/// </summary>
internal sealed class NaiveRing(TestMemory memory, ulong features, int size, ulong descriptors, ulong driver, ulong device)
{
    private const int ToleratedChain = 1024;
    private const ushort Next = 1;
    private const ushort Write = 2;
    private const ushort Indirect = 4;

    private readonly bool _packed = (features & VirtioFeatures.RingPacked) != 0;
    private readonly bool _indirect = (features & VirtioFeatures.IndirectDesc) != 0;
    private readonly HashSet<int> _busy = [];
    private int _next;
    private int _seen;
    private bool _wrap = true;
    private int _out;
    private string? _broken;

    /// <summary>Where the device writes its next used entry.</summary>
    public int Used { get; private set; }

    public bool UsedWrap { get; private set; } = true;

    /// <summary>The last chain had a table part of which is outside memory.</summary>
    public bool TableLeavesMemory { get; private set; }

    /// <summary>The last chain's descriptors in the ring, and its name.</summary>
    public int Slots { get; private set; }

    public int Id { get; private set; }

    public void StartAt(int next, bool wrap)
    {
        _next = _seen = Used = next;
        _wrap = UsedWrap = wrap;
        if (!_packed)
            Used = Read16(device + 2);
    }

    /// <summary>The next chain.</summary>
    /// <returns>Null when there is none; what is wrong in <paramref name="broken"/>.</returns>
    public List<GuestRange>? Pop(out string? broken)
    {
        TableLeavesMemory = false;
        List<GuestRange>? chain = _broken is null ? _packed ? PopPacked() : PopSplit() : null;
        broken = _broken;
        return broken is null ? chain : null;
    }

    /// <summary>A chain was given back and published.</summary>
    public void GiveBack(int id, int slots)
    {
        _busy.Remove(id);
        _out -= _packed ? slots : 1;
        Used += _packed ? slots : 1;
        if (!_packed)
        {
            Used &= 0xffff;
        }
        else if (Used >= size)
        {
            Used -= size;
            UsedWrap = !UsedWrap;
        }
    }

    private List<GuestRange>? PopSplit()
    {
        if (_next == _seen)
        {
            int index = Read16(driver + 2);
            int more = (index - _next) & 0xffff;
            if (more == 0)
                return null;

            if (more > size - _out)
                return Break("too many available");

            _seen = index;
        }

        int head = Read16(driver + 4 + (2 * (ulong)(_next % size)));
        if (head >= size || _busy.Contains(head))
            return Break("a head that cannot be");

        List<GuestRange> chain = [];
        int at = head;
        Slots = 0;
        do
        {
            if (Slots++ == size || at >= size)
                return Break("a loop, or a link outside");

            (ulong address, uint length, ushort flags, ushort next) = Split(descriptors + (16 * (ulong)at));
            if ((flags & Indirect) != 0)
            {
                if ((flags & Next) != 0 || !Walk(chain, address, length))
                    return Break("a bad table");

                break;
            }

            chain.Add(Range(address, length, flags));
            at = (flags & Next) != 0 ? next : -1;
        }
        while (at >= 0);

        if (!IsProper(chain))
            return Break("improper buffers");

        _busy.Add(head);
        _next = (_next + 1) & 0xffff;
        _out++;
        Id = head;
        return chain;
    }

    private List<GuestRange>? PopPacked()
    {
        int position = _next;
        bool wrap = _wrap;
        List<GuestRange> chain = [];
        Slots = 0;
        while (true)
        {
            (ulong address, uint length, ushort id, ushort flags) = Split(descriptors + (16 * (ulong)position));
            if (Slots == 0 && ((flags & 0x80) != 0) != wrap)
                return null;

            if (Slots == 0 && ((flags & 0x8000) != 0) == wrap)
                return null;

            if (Slots++ == size - _out)
                return Break("more than the ring");

            Id = id;
            if (++position == size)
            {
                position = 0;
                wrap = !wrap;
            }

            if ((flags & Indirect) != 0)
            {
                if ((flags & Next) != 0 || !Walk(chain, address, length))
                    return Break("a bad table");

                break;
            }

            chain.Add(Range(address, length, flags));
            if ((flags & Next) == 0)
                break;
        }

        if (!IsProper(chain))
            return Break("improper buffers");

        _next = position;
        _wrap = wrap;
        _out += Slots;
        return chain;
    }

    private bool Walk(List<GuestRange> chain, ulong table, uint bytes)
    {
        uint entries = bytes / 16;
        if (!_indirect || bytes == 0 || bytes % 16 != 0 || entries > 65536 || bytes - 1 > ulong.MaxValue - table)
            return false;

        TableLeavesMemory = !IsInside(table, bytes);
        int most = Math.Max(size, ToleratedChain);
        for (uint at = 0; ;)
        {
            if (chain.Count == most || !IsInside(table + (16 * at), 16))
                return false;

            (ulong address, uint length, ushort flags, ushort next) = Split(table + (16 * at));
            if (_packed)
            {
                // Here the last two words are the other way round, and WRITE alone counts.
                chain.Add(Range(address, length, next));
                if (++at == entries)
                    return true;

                continue;
            }

            if ((flags & Indirect) != 0)
                return false;

            chain.Add(Range(address, length, flags));
            if ((flags & Next) == 0)
                return true;

            at = next;
            if (at >= entries)
                return false;
        }
    }

    /// <summary>Whether every byte of a range is guest memory, of whichever region.</summary>
    public bool IsInside(ulong address, ulong length)
    {
        do
        {
            MemoryRegion? found = null;
            foreach (MemoryRegion region in memory.Regions)
            {
                if (address >= region.GuestAddress.Value && address - region.GuestAddress.Value < region.Size)
                    found = region;
            }

            if (found is not { } at)
                return false;

            ulong there = Math.Min(length, at.Size - (address - at.GuestAddress.Value));
            address += there;
            length -= there;
        }
        while (length != 0);

        return true;
    }

    private static bool IsProper(List<GuestRange> chain)
        => chain.Aggregate(0UL, static (sum, range) => sum + range.Length) <= 1UL << 32
            && chain.SkipWhile(static range => !range.Writable).All(static range => range.Writable);

    private static GuestRange Range(ulong address, uint length, ushort flags) => new(new GuestAddress(address), length, (flags & Write) != 0);

    private List<GuestRange>? Break(string cause)
    {
        _broken = cause;
        return null;
    }

    private (ulong Address, uint Length, ushort Third, ushort Fourth) Split(ulong at)
    {
        Span<byte> bytes = stackalloc byte[16];
        for (ulong i = 0; i < 16; i++)
            bytes[(int)i] = memory.Span(new GuestAddress(at + i), 1)[0];

        return (MemoryMarshal.Read<ulong>(bytes), MemoryMarshal.Read<uint>(bytes[8..]), MemoryMarshal.Read<ushort>(bytes[12..]), MemoryMarshal.Read<ushort>(bytes[14..]));
    }

    private ushort Read16(ulong at) => MemoryMarshal.Read<ushort>(memory.Span(new GuestAddress(at), 2));
}
