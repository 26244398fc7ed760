using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;

namespace XenVhostMaster.Domains;

/// <summary>
/// A guest's memory as regions of VHOST_USER_PROTOCOL_F_XEN_MMAP. User addresses are guest addresses, and so are ring
/// addresses: right for back-ends that look rings up by either (see the notes on front-ends in docs).
/// </summary>
internal static class GuestRegions
{
    // Guest DMA addresses with this bit are grant references times the page size (Linux, drivers/xen/grant-dma-ops.c).
    private const ulong GrantBit = 1UL << 63;

    // References are 32 bits wide.
    private const ulong GrantSpace = 1UL << 44;

    /// <param name="open">Opens what goes with a region; each region gets one of its own.</param>
    public static IReadOnlyList<FrontendRegion> Make(MemoryLayout layout, ushort domid, bool grants, Func<bool, FileDescriptor> open)
    {
        if (!grants)
            return [.. layout.Banks.Select(bank => Foreign(bank.Start, bank.Size, domid, open(false)))];

        // All references there can be, mapped as they come up. Rings are looked up in it by guest address.
        var region = new MemoryRegion(new GuestAddress(GrantBit), GrantSpace, default, 0, XenMmapFlags.Grant | XenMmapFlags.NoAdvanceMap, domid);
        return [new FrontendRegion(region, open(true))];
    }

    private static FrontendRegion Foreign(ulong start, ulong size, ushort domid, FileDescriptor file)
        => new(new MemoryRegion(new GuestAddress(start), size, new FrontendAddress(start), 0, XenMmapFlags.Foreign, domid), file);
}
