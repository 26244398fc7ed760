using VhostUser.Memory;

namespace XenMemoryProvider.Memory;

/// <summary>A range of grant references of which nothing is mapped until a chain needs it.</summary>
internal sealed class OnDemandRegionMapping : RegionMapping
{
    private readonly XenDomain _domain;
    private int _disposed;

    internal OnDemandRegionMapping(XenDomain domain)
    {
        _domain = domain;
        OnDemand = domain.Mapper;
        CanPin = false;
    }

    public override void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0) _domain.RemoveUser();
    }
}
