namespace EndToEnd.Disks;

/// <summary>The same with addresses of the front-end's own mapping, as rust-vmm's front-end sends them.</summary>
public sealed class ForeignUserAddressDiskTests : ForeignDiskTests
{
    private protected override DiskGuest CreateGuest(XenHost host) => new ForeignGuest(host, guestAddresses: false);
}
