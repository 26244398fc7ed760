using VhostUser.Memory;
using VhostUser.Protocol;
using XenMemoryProvider.Kernel;

namespace XenMemoryProvider.Memory;

/// <summary>A region with Xen flags, checked: which pages of whom, and how.</summary>
/// <param name="Kind">How it is mapped.</param>
/// <param name="Domid">The guest.</param>
/// <param name="FirstPage">Frame number or grant reference of the first page.</param>
/// <param name="Pages">How many pages it touches; 0 where nothing is mapped in advance.</param>
/// <param name="Slack">Bytes of the first page before the region.</param>
internal readonly record struct XenRegion(XenRegionKind Kind, ushort Domid, ulong FirstPage, int Pages, int Slack)
{
    /// <summary>What marks an address as a grant reference for Linux's grant-dma layer.</summary>
    internal const ulong GrantBit = 1UL << 63;

    /// <summary>The most that the kernel's gntdev maps at once.</summary>
    internal const int MaxGrantPages = 65536;

    /// <summary>A tebibyte: no front-end should make us map for minutes.</summary>
    internal const int MaxForeignPages = 1 << 28;

    /// <exception cref="GuestMemoryException">It breaks a rule; the message says which.</exception>
    internal static XenRegion Parse(in MemoryRegion region)
    {
        XenRegionKind kind = region.XenFlags switch
        {
            XenMmapFlags.Foreign => XenRegionKind.Foreign,
            XenMmapFlags.Grant => XenRegionKind.Grants,
            XenMmapFlags.Grant | XenMmapFlags.NoAdvanceMap => XenRegionKind.GrantsOnDemand,
            XenMmapFlags.Foreign | XenMmapFlags.Grant => throw Refuse(region, "is both foreign and granted"),
            XenMmapFlags.Foreign | XenMmapFlags.NoAdvanceMap => throw Refuse(region, "is foreign and to be mapped on demand, which only grants are"),
            _ => throw Refuse(region, $"has Xen flags 0x{(uint)region.XenFlags:x}"),
        };
        if (region.XenDomain >= Abi.Domid.FirstReserved) throw Refuse(region, $"is of domain {region.XenDomain}, which cannot be");
        if (region.MmapOffset != 0) throw Refuse(region, $"starts at 0x{region.MmapOffset:x} of its file; a Xen region has no file");

        ulong address = kind == XenRegionKind.Foreign ? region.GuestAddress.Value : region.GuestAddress.Value & ~GrantBit;
        int slack = (int)(address % XenPage.Size);
        ulong first = address >> XenPage.Shift;
        ulong last = (address + (region.Size - 1)) >> XenPage.Shift;
        ulong pages = last - first + 1;
        switch (kind)
        {
            case XenRegionKind.Foreign when pages > MaxForeignPages:
                throw Refuse(region, $"has {pages} pages, at most {MaxForeignPages} are mapped");
            case XenRegionKind.Grants when pages > MaxGrantPages || last > uint.MaxValue:
                throw Refuse(region, $"has {pages} grants from {first} on; at most {MaxGrantPages} are mapped, and references have 32 bits");
            case XenRegionKind.GrantsOnDemand:
                pages = 0;
                break;
        }
        return new XenRegion(kind, (ushort)region.XenDomain, first, (int)pages, slack);
    }

    private static GuestMemoryException Refuse(in MemoryRegion region, string why) =>
        new($"region of 0x{region.Size:x} bytes at {region.GuestAddress} {why}");
}
