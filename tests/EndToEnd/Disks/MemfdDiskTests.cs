namespace EndToEnd.Disks;

public sealed class MemfdDiskTests : DiskTests
{
    private protected override DiskGuest CreateGuest(XenHost host) => new MemfdGuest();
}
