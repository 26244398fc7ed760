using VhostUser.Memory;
using VhostXen.Linux;
using XenMemoryProvider.Kernel;

namespace XenMemoryProvider.Memory;

/// <summary>Grants mapped when the region arrives: rings, which the guest keeps granted for as long as they run.</summary>
internal sealed unsafe class GrantRegionMapping : RegionMapping
{
    private readonly XenDomain _domain;
    private readonly GrantMapping _pages;
    private int _disposed;

    private GrantRegionMapping(XenDomain domain, in GrantMapping pages, int slack)
    {
        _domain = domain;
        _pages = pages;
        Pointer = (byte*)pages.Address + slack;
        CanPin = false;
    }

    /// <exception cref="XenException">EINVAL: one of them is not granted to this domain, or read-only.</exception>
    internal static GrantRegionMapping Map(XenDomain domain, in XenRegion region)
    {
        var references = new GrantReference[region.Pages];
        for (int i = 0; i < references.Length; i++) references[i] = new GrantReference(domain.Domid, (uint)region.FirstPage + (uint)i);
        int result = domain.Gntdev.Map(references, writable: true, out GrantMapping pages);
        if (result < 0)
        {
            throw new XenException(
                $"GNTDEV_MAP_GRANT_REF {region.FirstPage} and {references.Length - 1} more", domain.Domid, -result,
                -result == LibC.EINVAL ? "At least one is not granted to this domain for writing" : null);
        }
        return new GrantRegionMapping(domain, pages, region.Slack);
    }

    public override void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        _ = _domain.Gntdev.Unmap(_pages);
        _domain.RemoveUser();
    }
}
