using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Session;

namespace EndToEnd.Disks;

/// <summary>A guest for a disk: memory of some kind, and how a front-end tells a back-end of it.</summary>
internal abstract class DiskGuest : IDisposable
{
    /// <summary>For the daemon's --xen.</summary>
    public abstract string Xen { get; }

    public abstract TestMemory Memory { get; }

    /// <summary>Index of the region for what the device reads: headers, data to write, indirect tables. Tables are always in region 0.</summary>
    public virtual int Readable => 0;

    /// <summary>Index of the region for what the device writes.</summary>
    public virtual int Writable => 0;

    /// <summary>Index of the region for rings.</summary>
    public virtual int Rings => 0;

    public virtual ProtocolFeatures Protocol => new FrontendOptions().WantedProtocol | ProtocolFeatures.XenMmap;

    public IReadOnlyList<FrontendRegion> Regions => [.. Memory.Regions.Select(region => new FrontendRegion(region, Memory.File))];

    /// <summary>What SET_VRING_ADDR says for ring memory.</summary>
    public virtual FrontendAddress RingAddress(GuestAddress address) => Memory.ToUser(address);

    /// <summary>A used entry has been seen; whatever the back-end had of these buffers it has given back.</summary>
    public virtual void CheckReleased(ReadOnlySpan<GuestRange> buffers)
    {
    }

    public virtual void Dispose() => Memory.Dispose();
}
