using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;
using XenMemoryProvider.Kernel;

namespace XenMemoryProvider.Memory;

/// <summary>
/// Guest memory under Xen (XEN_MMAP): foreign frames, grants mapped in advance, grants mapped per chain. Regions without
/// Xen flags are files as under KVM, so that one daemon serves both. The descriptor that comes with a Xen region means
/// nothing: this process opens the devices itself, per guest, and restricts them to it.
/// </summary>
/// <remarks>
/// Every <see cref="Map"/> is a new mapping, also of a region that is mapped already. So a front-end whose guest gave
/// pages up (an INVALIDATE request) sends its memory table again before it answers the guest: the session then swaps the new
/// mappings in between requests and drops the old ones, which kept the given-up pages alive.
/// </remarks>
public sealed class XenGuestMemoryProvider : IGuestMemoryProvider
{
    private readonly IXenKernel _kernel;
    private readonly XenMemoryOptions _options;
    private readonly ILogger _logger;
    private readonly SharedFileProvider _files = new();
    private readonly Lock _lock = new();
    private readonly Dictionary<ushort, XenDomain> _domains = [];

    public XenGuestMemoryProvider(IXenKernel kernel, XenMemoryOptions? options = null, ILogger? logger = null)
    {
        _kernel = kernel;
        _options = options ?? new();
        _logger = logger ?? NullLogger.Instance;
    }

    /// <inheritdoc/>
    public bool SupportsXenMmap => true;

    /// <summary>The provider for what the command line says: with Xen regions where a Xen can be reached, else for files only.</summary>
    /// <param name="xen">See <see cref="XenKernels.Open"/>.</param>
    /// <exception cref="XenException">It was asked for by name and cannot be reached.</exception>
    /// <exception cref="ArgumentException">No such word.</exception>
    public static IGuestMemoryProvider Choose(string xen = XenKernels.Auto, XenMemoryOptions? options = null, ILogger? logger = null)
    {
        IXenKernel? kernel = XenKernels.Open(xen, reason => logger?.XenNotUsed(reason.Message));
        return kernel is null ? new SharedFileProvider() : new XenGuestMemoryProvider(kernel, options, logger);
    }

    /// <inheritdoc/>
    public RegionMapping Map(in MemoryRegion region, FileDescriptor fd)
    {
        if (region.XenFlags == XenMmapFlags.None) return _files.Map(region, fd);

        XenRegion parsed = XenRegion.Parse(region);
        if (_options.OnlyDomain is { } only && parsed.Domid != only)
            throw new GuestMemoryException($"region at {region.GuestAddress} is of domain {parsed.Domid}; only domain {only} is served here");

        XenDomain domain = Domain(parsed.Domid);
        try
        {
            return parsed.Kind switch
            {
                XenRegionKind.Foreign => ForeignMapping.Map(domain, parsed, region, _options.Holes, _options.PagingTimeout, _logger),
                XenRegionKind.Grants => GrantRegionMapping.Map(domain, parsed),
                _ => new OnDemandRegionMapping(domain),
            };
        }
        catch (XenException e)
        {
            domain.RemoveUser();
            throw new GuestMemoryException($"region of 0x{region.Size:x} bytes at {region.GuestAddress} cannot be mapped: {e.Message}", e);
        }
        catch
        {
            domain.RemoveUser();
            throw;
        }
    }

    private XenDomain Domain(ushort domid)
    {
        lock (_lock)
        {
            if (_domains.TryGetValue(domid, out XenDomain? domain) && domain.TryAddUser()) return domain;
            domain = new XenDomain(domid, _kernel, _options, _logger, Forget);
            _domains[domid] = domain;
            return domain;
        }
    }

    private void Forget(XenDomain domain)
    {
        lock (_lock)
        {
            if (_domains.TryGetValue(domain.Domid, out XenDomain? current) && current == domain) _domains.Remove(domain.Domid);
        }
    }
}
