using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using XenMemoryProvider.Kernel;

namespace XenVhostMaster.Domains;

/// <summary>
/// A guest's memory as regions of VHOST_USER_PROTOCOL_F_XEN_MMAP. User addresses are guest addresses, and so are ring
/// addresses: right for back-ends that look rings up by either.
/// </summary>
internal static class GuestRegions
{
    /// <summary>Guest DMA addresses with this bit are grant references times the page size (Linux, drivers/xen/grant-dma-ops.c).</summary>
    public const ulong GrantBit = 1UL << 63;

    // References are 32 bits wide.
    private const ulong GrantSpace = 1UL << 44;

    /// <summary>One region per bank of RAM, mapped by frame number.</summary>
    /// <param name="open">Opens what goes with a region; each gets one of its own.</param>
    public static IReadOnlyList<FrontendRegion> Foreign(MemoryLayout layout, ushort domid, Func<FileDescriptor> open)
        => [.. layout.Banks.Select(bank => Region(bank.Start, bank.Size, bank.Start, XenMmapFlags.Foreign, domid, open))];

    /// <summary>
    /// All references there can be: the pages of rings mapped in advance, everything between them as it comes up.
    /// </summary>
    /// <param name="rings">The parts of rings: addresses as the driver wrote them, lengths in bytes. Those that are no grants are left out.</param>
    public static IReadOnlyList<FrontendRegion> Grants(ushort domid, IEnumerable<(ulong Start, ulong Length)> rings, Func<FileDescriptor> open)
    {
        List<FrontendRegion> regions = [];
        ulong covered = GrantBit;
        foreach ((ulong start, ulong end) in Pages(rings))
        {
            Gap(covered, start);
            regions.Add(Region(start, end - start, start, XenMmapFlags.Grant, domid, open));
            covered = end;
        }

        Gap(covered, GrantBit + GrantSpace);
        return regions;

        void Gap(ulong from, ulong to)
        {
            if (from < to)
                regions.Add(Region(from, to - from, 0, XenMmapFlags.Grant | XenMmapFlags.NoAdvanceMap, domid, open));
        }
    }

    /// <summary>Whole pages, in order; parts that share one or lie side by side are one.</summary>
    private static List<(ulong Start, ulong End)> Pages(IEnumerable<(ulong Start, ulong Length)> rings)
    {
        List<(ulong Start, ulong End)> pages = [];
        foreach ((ulong start, ulong length) in rings.OrderBy(static ring => ring.Start))
        {
            ulong offset = start - GrantBit;
            if (start < GrantBit || length == 0 || offset >= GrantSpace || length > GrantSpace - offset)
                continue;

            ulong first = start & ~(ulong)(XenPage.Size - 1);
            ulong end = (start + length + XenPage.Size - 1) & ~(ulong)(XenPage.Size - 1);
            if (pages.Count != 0 && first <= pages[^1].End)
                pages[^1] = (pages[^1].Start, Math.Max(pages[^1].End, end));
            else
                pages.Add((first, end));
        }

        return pages;
    }

    private static FrontendRegion Region(ulong start, ulong size, ulong user, XenMmapFlags flags, ushort domid, Func<FileDescriptor> open)
        => new(new MemoryRegion(new GuestAddress(start), size, new FrontendAddress(user), 0, flags, domid), open());
}
