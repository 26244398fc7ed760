using Xunit;

namespace EndToEnd.Disks;

/// <summary>A guest is destroyed with requests under way; the daemon serves the next one.</summary>
internal static class DyingGuest
{
    public static async Task RunAsync(ServedDisk disk, Func<XenHost, DiskGuest> createGuest)
    {
        var guest = (XenGuest)disk.Guest;
        await using (DiskDriver driver = await disk.ConnectAsync())
        {
            for (int i = 0; i < 16; i++)
            {
                driver.Submit(i % 2, driver.NewRequest().Fill(DiskRequest.In, i * 128, DiskDriver.MaxBytes));
                if (i == 8) Assert.True(guest.Host.Xen.DestroyDomain(guest.Guest.Id));
            }
        }

        using DiskGuest next = createGuest(guest.Host);
        await using DiskDriver second = await disk.ConnectAsync(next);
        DiskRequest request = second.NewRequest();
        for (int i = 0; i < 8; i++)
        {
            Assert.Equal(0, second.Run(request.Fill(DiskRequest.In, i * 100, 8192), queue: i % 2));
            Assert.True(request.Data.SequenceEqual(disk.Image.AsSpan(i * 51200, 8192)));
        }

        Assert.False(disk.Daemon.Exited.IsCompleted);
        Assert.InRange(guest.Host.OpenDevices, 1, 2); // The next guest's; nothing of the dead one's.
    }
}
