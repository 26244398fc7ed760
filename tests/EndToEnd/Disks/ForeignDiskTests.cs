using VhostUser.Protocol;
using Xunit;

namespace EndToEnd.Disks;

/// <summary>XEN_MMAP foreign regions, with the addresses that QEMU sends.</summary>
public class ForeignDiskTests : DiskTests
{
    [Fact]
    public Task Buffer_BalloonedOut_FailsThatRequestOnly() => RunAsync(async disk =>
    {
        var guest = (XenGuest)disk.Guest;
        GuestAddress hole = guest.Memory.Allocate(3 * 4096, 4096);
        ulong gfn = (hole.Value >> 12) + 1;
        Assert.Equal(1, guest.Guest.Balloon(gfn));
        await using DiskDriver driver = await disk.ConnectAsync();
        DiskRequest request = driver.NewRequest();

        Assert.Equal(IoError, driver.Run(request.Fill(DiskRequest.In, 0, 512).WithData(new GuestAddress(gfn << 12), 512)));
        Assert.Equal(IoError, driver.Run(request.Fill(DiskRequest.In, 0, 512).WithData(hole, 3 * 4096)));
        Assert.Equal(IoError, driver.Run(request.Fill(DiskRequest.Out, 0, 512).WithData(new GuestAddress((gfn << 12) + 0xe00), 512)));
        Assert.Equal(Ok, driver.Run(request.Fill(DiskRequest.In, 0, 512).WithData(hole, 4096)));
        Assert.Equal(Ok, driver.Run(request.Fill(DiskRequest.In, 8, 4096)));
        Assert.True(request.Data.SequenceEqual(disk.Image.AsSpan(8 * 512, 4096)));

        // The guest takes a page there again, and the front-end sends the table again.
        Assert.Equal(1, guest.Guest.Populate(gfn));
        await driver.Session.SetMemoryAsync(guest.Regions);
        Assert.Equal(Ok, driver.Run(request.Fill(DiskRequest.In, 0, 512).WithData(hole, 3 * 4096)));
        var read = new byte[4096];
        Assert.True(guest.Guest.Domain.Memory.TryRead(gfn << 12, read));
        Assert.True(read.AsSpan().SequenceEqual(disk.Image.AsSpan(4096, 4096)), "the guest's new page has not what was read");
    });

    [Fact]
    public Task Guest_DestroyedInMidTraffic_DaemonServesTheNext() => RunAsync(disk => DyingGuest.RunAsync(disk, CreateGuest));

    private protected override DiskGuest CreateGuest(XenHost host) => new ForeignGuest(host, guestAddresses: true);
}
