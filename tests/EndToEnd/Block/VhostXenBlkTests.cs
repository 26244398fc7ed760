using GuestKit;
using Xunit;

namespace EndToEnd.Block;

[Trait("Category", "Qemu")]
public sealed class VhostXenBlkTests() : BlockDaemonTests(new VhostXenBlk())
{
    private const long MiB = 1 << 20;

    // CONFIG_CHANGE_MSG to QEMU, GET_CONFIG from it, and an interrupt to the guest.
    [Fact]
    public Task Image_GrownWhileTheGuestRuns_IsSeenByTheGuest() => GuestRun.RunAsync("resize", async run =>
    {
        DiskImage image = DiskImage.Create(run, "disk.img", 16 * MiB);
        var export = new DiskExport(run.PathOf("disk.sock"), image.Path);
        DaemonProcess daemon = await Daemon.StartAsync(run, export);
        QemuGuest guest = await QemuGuest.StartAsync(run, new QemuOptions { Disks = [new(export.SocketPath)] }, """
            same before 32768 "$(cat /sys/block/vda/size)"
            await growth
            grown() { for i in $(seq 100); do [ $(cat /sys/block/vda/size) = 49152 ] && return 0; sleep 0.1; done; return 1; }
            step grown grown
            step write fio --name=g --filename=/dev/vda --offset=16m --size=8m --rw=write --bs=64k --direct=1 --buffer_pattern=0x77
            """);
        await guest.WaitUntilAwaitsAsync("growth", TimeSpan.FromMinutes(2));
        using (FileStream file = File.OpenWrite(image.Path))
            file.SetLength(24 * MiB);

        daemon.Reload();
        guest.Answer();
        await guest.FinishAsync(TimeSpan.FromMinutes(2));
        Assert.True(image.IsFilled(0, 16 * MiB, 0));
        Assert.True(image.IsFilled(16 * MiB, 8 * MiB, 0x77));
    });
}

[Trait("Category", "Qemu")]
public sealed class VhostXenBlkMigrationTests() : MigrationTests(new VhostXenBlk())
{
    // The device writes a packed ring in other places than QEMU says in log_guest_addr.
    [Fact]
    public Task Guest_MigratedOnPackedRings_KeepsMemoryAndDisk() => MigrateAsync("packed", postcopy: false, packed: true);

    /// <summary>
    /// Most requests at the destination meet memory that is not there yet: the daemon's own faults fetch it. (Debian's
    /// qemu-storage-daemon panics at the message that ends the list of regions.)
    /// </summary>
    [Fact]
    public Task Guest_MigratedPostcopyUnderLoad_KeepsMemoryAndDisk() => MigrateAsync("postcopy", postcopy: true);
}
