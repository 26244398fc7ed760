using System.Diagnostics;
using Microsoft.Extensions.Logging;
using VhostUser.Memory;
using VhostUser.Protocol;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Memory;

/// <summary>
/// Frames of a guest, mapped when the region arrives. The pages stay alive as long as they are mapped, whatever the guest
/// or Xen does with it: a guest that dies in mid-request is no fault here.
/// </summary>
internal sealed unsafe class ForeignMapping : RegionMapping
{
    private readonly XenDomain _domain;
    private readonly XenMapping _pages;
    private readonly HoleMap? _holes;
    private readonly int _slack;
    private int _disposed;

    private ForeignMapping(XenDomain domain, XenMapping pages, HoleMap? holes, int slack)
    {
        _domain = domain;
        _pages = pages;
        _holes = holes;
        _slack = slack;
        Pointer = pages.Pointer + slack;
        CanPin = false;
    }

    public override bool HasHoles => _holes is not null;

    /// <exception cref="GuestMemoryException">Pages are missing, and the policy says that this fails; or all are.</exception>
    /// <exception cref="XenException">Nothing can be mapped.</exception>
    internal static ForeignMapping Map(XenDomain domain, in XenRegion region, in MemoryRegion description, HolePolicy policy, TimeSpan pagingTimeout, ILogger logger)
    {
        HoleMap? holes = null;
        int firstError = 0;
        int pages = region.Pages;
        string address = description.GuestAddress.ToString();
        ulong firstPage = region.FirstPage;
        long start = Stopwatch.GetTimestamp();
        XenMapping mapping = domain.Privcmd.MapForeignRange(domain.Domid, firstPage, pages, PROT_READ | PROT_WRITE, pagingTimeout, (page, error) =>
        {
            if (policy == HolePolicy.Fail)
                throw new GuestMemoryException($"region at {address}: frame 0x{firstPage + (ulong)page:x} of domain {domain.Domid} cannot be mapped: {errno_name(-error)}");
            if (holes is null) firstError = error;
            holes ??= new HoleMap(pages);
            holes.Add(page);
        });

        if (holes is not null && holes.Count == pages)
        {
            mapping.Dispose();
            throw new GuestMemoryException($"region at {address}: domain {domain.Domid} has none of its {pages} frames: {errno_name(-firstError)}");
        }

        logger.ForeignMapped(domain.Domid, pages, address, Stopwatch.GetElapsedTime(start).TotalSeconds);
        if (holes is not null) logger.ForeignHoles(domain.Domid, holes.Count, pages, address, holes.Describe(firstPage), errno_name(-firstError));
        return new ForeignMapping(domain, mapping, holes, region.Slack);
    }

    public override bool IsAccessible(ulong offset, ulong length) => _holes is null || _holes.IsFree(offset + (ulong)_slack, length);

    public override void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        _pages.Dispose();
        _domain.RemoveUser();
    }
}
