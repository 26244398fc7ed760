using GuestKit;
using VhostUser.Protocol;
using Xunit;

namespace EndToEnd.Disks;

/// <summary>
/// vhostxen-blk as a process, and a driver here: the same tests whatever the guest's memory is. The daemon is told how to
/// reach Xen; not a line of the block device knows.
/// </summary>
public abstract class DiskTests
{
    private protected const int DiskBytes = 4 << 20;
    private protected const byte Ok = 0, IoError = 1;

    [Fact]
    public Task Read_WholeDisk_IsTheImage() => RunAsync(async disk =>
    {
        await using DiskDriver driver = await disk.ConnectAsync();
        DiskRequest request = driver.NewRequest();
        int[] lengths = [512, 4096, 65536, 1536, 8192, 33 * 512];
        for (int at = 0, i = 0; at < DiskBytes; i++)
        {
            int length = Math.Min(lengths[i % lengths.Length], DiskBytes - at);
            Assert.Equal(Ok, driver.Run(request.Fill(DiskRequest.In, at / 512, length, pieces: 1 + (i % 5)), queue: i % 2, indirect: i % 3 == 0));
            Assert.True(request.Data.SequenceEqual(disk.Image.AsSpan(at, length)), $"bytes {at} to +{length} differ");
            at += length;
        }
    });

    [Theory]
    [InlineData(0)]
    [InlineData(VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx)]
    public Task ReadsAndWrites_ManyInFlight_AgreeWithAModel(ulong ringFeatures) => RunAsync(async disk =>
    {
        await using DiskDriver driver = await disk.ConnectAsync(ringFeatures);
        DiskRequest[] idle = [.. Enumerable.Range(0, 24).Select(_ => driver.NewRequest())];

        // Requests under way never overlap: each has a stripe of the disk.
        Mix(driver, disk.Image, idle, rounds: 1200, new Random(7), (ringFeatures & VirtioFeatures.IndirectDesc) != 0);

        Assert.Equal(Ok, driver.Run(driver.NewRequest().Fill(DiskRequest.Flush, 0, 0)));
        Assert.True(disk.FileBytes().AsSpan().SequenceEqual(disk.Image), "the file differs from what was written");
    });

    [Fact]
    public Task MemoryTable_SentAgainInMidTraffic_LosesNothing() => RunAsync(async disk =>
    {
        await using DiskDriver driver = await disk.ConnectAsync();
        DiskRequest[] idle = [.. Enumerable.Range(0, 16).Select(_ => driver.NewRequest())];
        var random = new Random(9);
        for (int round = 0; round < 5; round++)
        {
            // What a front-end does whose guest gave pages up: new mappings, between requests.
            Task again = driver.Session.SetMemoryAsync(disk.Guest.Regions);
            Mix(driver, disk.Image, idle, rounds: 100, random, indirect: true);
            await again;
        }

        Assert.True(disk.FileBytes().AsSpan().SequenceEqual(disk.Image), "the file differs from what was written");
    });

    [Fact]
    public Task Connect_AgainAndAgain_ServesEachTime() => RunAsync(async disk =>
    {
        int descriptors = 0;
        for (int round = 0; round < 10; round++)
        {
            await using DiskDriver driver = await disk.ConnectAsync();
            DiskRequest request = driver.NewRequest();
            Assert.Equal(Ok, driver.Run(request.Fill(DiskRequest.In, round, 4096)));
            Assert.True(request.Data.SequenceEqual(disk.Image.AsSpan(round * 512, 4096)));
            if (round == 2) descriptors = disk.Daemon.OpenDescriptors;
            if (round > 2) Assert.InRange(disk.Daemon.OpenDescriptors, 0, descriptors);
        }
    });

    private protected abstract DiskGuest CreateGuest(XenHost host);

    private protected Task RunAsync(Func<ServedDisk, Task> body) => GuestRun.RunAsync("disk", async run =>
    {
        using var host = new XenHost(run.PathOf("xen.sock"));
        using DiskGuest guest = CreateGuest(host);
        ServedDisk disk = await ServedDisk.StartAsync(run, guest, DiskBytes);
        await body(disk);
        Assert.Equal(0, await disk.Daemon.StopAsync(TimeSpan.FromSeconds(10)));
    });

    private static void Mix(DiskDriver driver, byte[] image, DiskRequest[] requests, int rounds, Random random, bool indirect)
    {
        int stripe = DiskBytes / requests.Length / 512 * 512;
        var free = new Stack<int>(Enumerable.Range(0, requests.Length));
        for (int started = 0, finished = 0; finished < rounds;)
        {
            while (started < rounds && free.TryPop(out int slot))
            {
                int length = 512 * random.Next(1, DiskDriver.MaxBytes / 512 + 1);
                int at = (slot * stripe) + (512 * random.Next((stripe - length) / 512));
                bool write = random.Next(2) == 0;
                DiskRequest request = requests[slot].Fill(write ? DiskRequest.Out : DiskRequest.In, at / 512, length, random.Next(1, 6));
                if (write)
                {
                    random.NextBytes(request.Data);
                    request.Data.CopyTo(image.AsSpan(at));
                }
                driver.Submit(slot % 2, request, indirect && random.Next(2) == 0);
                started++;
            }

            DiskRequest done = driver.Next(finished % 2 == 0 ? QueueWithWork(0) : QueueWithWork(1));
            Assert.Equal(Ok, done.Status);
            if (done.Type == DiskRequest.In)
                Assert.True(done.Data.SequenceEqual(image.AsSpan((int)done.Sector * 512, done.Length)), $"sector {done.Sector} differs");
            free.Push(Array.IndexOf(requests, done));
            finished++;
        }

        int QueueWithWork(int wanted) => driver.OutstandingOn(wanted) > 0 ? wanted : 1 - wanted;
    }
}
