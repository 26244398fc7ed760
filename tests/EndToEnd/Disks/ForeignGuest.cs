using TestKit;
using VhostUser.Protocol;

namespace EndToEnd.Disks;

/// <summary>All of the guest's memory as one foreign region. Addresses are the guest's own, as QEMU sends them, or the front-end's, as rust-vmm's does.</summary>
internal sealed class ForeignGuest : XenGuest
{
    private const ulong Base = 1 << 20;
    private readonly bool _guestAddresses;

    public ForeignGuest(XenHost host, bool guestAddresses)
        : base(host)
    {
        _guestAddresses = guestAddresses;
        const ulong size = ((ulong)MemoryMiB << 20) - Base;
        var user = new FrontendAddress(guestAddresses ? Base : (ulong)View(Base));
        Memory = new TestMemory(NoFile, (Region(new GuestAddress(Base), size, user, XenMmapFlags.Foreign), View(Base)));
    }

    public override TestMemory Memory { get; }

    public override FrontendAddress RingAddress(GuestAddress address) => _guestAddresses ? new(address.Value) : base.RingAddress(address);
}
