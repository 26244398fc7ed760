using VhostUser.Protocol;
using Xunit;

namespace EndToEnd.Disks;

/// <summary>XEN_MMAP grant regions: rings in advance, buffers on demand.</summary>
public sealed class GrantDiskTests : DiskTests
{
    [Fact]
    public Task Buffer_NotGranted_FailsThatRequestOnly() => RunAsync(async disk =>
    {
        var guest = (GrantGuest)disk.Guest;
        await using DiskDriver driver = await disk.ConnectAsync();
        DiskRequest request = driver.NewRequest();
        GuestAddress revoked = guest.Memory.Allocate(4096, 4096, guest.Writable), readOnly = guest.Memory.Allocate(256 << 10, 4096, guest.Readable);
        Assert.True(guest.Guest.TryRevoke(GrantGuest.ReferenceOf(revoked)));

        // Large enough to be mapped, and small enough to be copied.
        Assert.NotEqual(Ok, driver.Run(request.Fill(DiskRequest.In, 0, 512).WithData(readOnly, 256 << 10)));
        driver.Run(request.Fill(DiskRequest.In, 0, 512).WithData(revoked, 512));
        Assert.Equal(Ok, driver.Run(request.Fill(DiskRequest.In, 8, 4096)));
        Assert.True(request.Data.SequenceEqual(disk.Image.AsSpan(8 * 512, 4096)));
    });

    [Fact]
    public Task Guest_DestroyedInMidTraffic_DaemonServesTheNext() => RunAsync(disk => DyingGuest.RunAsync(disk, CreateGuest));

    private protected override DiskGuest CreateGuest(XenHost host) => new GrantGuest(host);
}
