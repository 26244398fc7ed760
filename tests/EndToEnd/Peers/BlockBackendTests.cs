using GuestKit;
using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Session;
using Xunit;

namespace EndToEnd.Tests.Peers;

/// <summary>
/// Our front-end, and a driver of ours on its ring, on somebody's disk daemon: the same life for Debian's
/// qemu-storage-daemon and for vhostxen-blk. No guest.
/// </summary>
[Trait("Category", "Peer")]
public abstract class BlockBackendTests
{
    private const int Sector = 512;
    private const uint In = 0;
    private const uint Out = 1;
    private const uint Flush = 4;
    private const ulong FlushFeature = 1UL << 9;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    protected abstract BlockDaemon Daemon { get; }

    [Fact]
    public Task Disk_DrivenByOurFrontend_WritesReadsStopsAndGoesOn() => GuestRun.RunAsync("peer", async run =>
    {
        DiskImage disk = DiskImage.Create(run, "disk.img", 8 << 20);
        var export = new DiskExport(run.PathOf("blk.sock"), disk.Path);
        await Daemon.StartAsync(run, export);
        using var memory = new TestMemory();
        await using FrontendSession frontend = await OpenAsync(export);
        using var ring = new RawRing(DriverRing.Create(memory, 64), 0);
        await frontend.SetMemoryAsync(memory.Shared, Cancel);
        await frontend.StartRingAsync(ring.Describe(), Cancel);

        // Capacity in sectors, the first field; and a part from the middle, which libvhost-user cannot answer by itself.
        Assert.Equal((8UL << 20) / Sector, BitConverter.ToUInt64(await frontend.GetConfigAsync(0, 8, Cancel)));
        Assert.Equal((uint)Sector, BitConverter.ToUInt32(await frontend.GetConfigAsync(20, 4, Cancel)));

        byte[] data = Pattern(1, 8 * Sector);
        Write(ring, 16, data);
        Assert.Equal(0, Do(ring, Flush, 0, default));
        Assert.Equal(data, Read(ring, 16, data.Length));
        Assert.Equal(data, OnDisk(disk, 16, data.Length));

        uint stoppedAt = await frontend.StopRingAsync(0, Cancel);
        Assert.Equal(3u, stoppedAt);
        await frontend.StartRingAsync(ring.Describe() with { Base = stoppedAt }, Cancel);
        Assert.Equal(data, Read(ring, 16, data.Length));
        Assert.Equal(4u, await frontend.StopRingAsync(0, Cancel));
    });

    [Fact]
    public Task Disk_DaemonKilledAndStartedAgain_GoesOnWhereTheRingIs() => GuestRun.RunAsync("peer", async run =>
    {
        DiskImage disk = DiskImage.Create(run, "disk.img", 8 << 20);
        var export = new DiskExport(run.PathOf("blk.sock"), disk.Path);
        DaemonProcess first = await Daemon.StartAsync(run, export);
        using var memory = new TestMemory();
        var driver = (SplitDriverRing)DriverRing.Create(memory, 64);
        using var ring = new RawRing(driver, 0);
        byte[] data = Pattern(2, 4 * Sector);
        await using (FrontendSession frontend = await OpenAsync(export))
        {
            await frontend.SetMemoryAsync(memory.Shared, Cancel);
            await frontend.StartRingAsync(ring.Describe(), Cancel);
            Write(ring, 0, data);
            Assert.Equal(0, Do(ring, Flush, 0, default));
            await first.KillAsync();
            await frontend.Closed.WaitAsync(Deadline, Cancel);
            await Assert.ThrowsAsync<FrontendException>(() => frontend.StopRingAsync(0, Cancel));
        }

        File.Delete(export.SocketPath);
        await Daemon.StartAsync(run, export);
        await using FrontendSession again = await OpenAsync(export);
        await again.SetMemoryAsync(memory.Shared, Cancel);
        await again.StartRingAsync(ring.Describe() with { Base = driver.UsedIndex }, Cancel);
        Assert.Equal(data, Read(ring, 0, data.Length));
        Assert.Equal(3u, await again.StopRingAsync(0, Cancel));
    });

    private static async Task<FrontendSession> OpenAsync(DiskExport export)
    {
        FrontendSession frontend = FrontendSession.Connect(export.SocketPath);
        await frontend.NegotiateAsync(Cancel);
        Assert.True(frontend.Has(ProtocolFeatures.ReplyAck | ProtocolFeatures.Config));
        await frontend.SetFeaturesAsync(VirtioFeatures.Version1 | FlushFeature, Cancel);
        return frontend;
    }

    private static void Write(RawRing ring, ulong sector, byte[] data)
    {
        GuestRange buffer = ring.Ring.Memory.Buffer(data.Length, writable: false);
        data.CopyTo(ring.Ring.Memory.Span(buffer));
        Assert.Equal(0, Do(ring, Out, sector, buffer));
    }

    private static byte[] Read(RawRing ring, ulong sector, int length)
    {
        GuestRange buffer = ring.Ring.Memory.Buffer(length, writable: true);
        Assert.Equal(0, Do(ring, In, sector, buffer));
        return ring.Ring.Memory.Span(buffer).ToArray();
    }

    /// <summary>One virtio-blk request (virtio 1.3, 5.2.6): header, data, status.</summary>
    private static int Do(RawRing ring, uint type, ulong sector, GuestRange data)
    {
        TestMemory memory = ring.Ring.Memory;
        GuestRange header = memory.Buffer(16, writable: false);
        GuestRange status = memory.Buffer(1, writable: true);
        BitConverter.TryWriteBytes(memory.Span(header), type);
        BitConverter.TryWriteBytes(memory.Span(header)[8..], sector);
        memory.Span(status)[0] = 0xff;
        if (data.Length == 0)
            ring.Ring.Add(header, status);
        else
            ring.Ring.Add(header, data, status);

        ring.Kick.Signal();
        ring.Wait();
        return memory.Span(status)[0];
    }

    private static byte[] Pattern(int seed, int length)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private static byte[] OnDisk(DiskImage disk, long sector, int length)
    {
        using FileStream file = File.OpenRead(disk.Path);
        file.Position = sector * Sector;
        byte[] bytes = new byte[length];
        file.ReadExactly(bytes);
        return bytes;
    }
}
