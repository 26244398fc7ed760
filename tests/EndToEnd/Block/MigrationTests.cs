using System.Text;
using GuestKit;
using Xunit;

namespace EndToEnd.Block;

/// <summary>A guest moves between two QEMUs, each with its own daemon on the same image, while it writes and verifies.</summary>
public abstract class MigrationTests(BlockDaemon daemon)
{
    private const long MiB = 1 << 20;

    private static readonly TimeSpan s_deadline = TimeSpan.FromMinutes(6);

    [Fact]
    public Task Guest_MigratedUnderLoad_KeepsMemoryAndDisk() => MigrateAsync("migrate", postcopy: false);

    private protected Task MigrateAsync(string name, bool postcopy, bool packed = false) => GuestRun.RunAsync(name, async run =>
    {
        // Requests read into guest memory behind QEMU's back: pages that the dirty log misses arrive stale, and fio's
        // verification, whose buffers they are, fails.
        const string Fio = "--name=m --size=16m --rw=randrw --bs=4k --direct=1 --ioengine=libaio --iodepth=16 --verify=crc32c "
            + "--verify_fatal=1 --verify_backlog=64 --loops=1000 --time_based --runtime=12";
        DiskImage image = DiskImage.Create(run, "disk.img", 64 * MiB);
        BlockDaemon shared = daemon.ForSharedImage();
        DiskExport[] exports = [new(run.PathOf("a.sock"), image.Path) { Queues = 2 }, new(run.PathOf("b.sock"), image.Path) { Queues = 2 }];
        foreach (DiskExport export in exports)
            await shared.StartAsync(run, export);
        string job = $$"""
            step mkfs mkfs.ext4 -q -F /dev/vda 32m
            step mount mount -t ext4 /dev/vda /mnt
            fio {{Fio}} --filename=/dev/vda --offset=40m & fio=$!
            i=0
            while kill -0 $fio 2>/dev/null; do i=$((i + 1)); echo "line $i" >> /mnt/lines; sync; value lines $i; done
            step fio wait $fio
            step unmount umount /mnt
            step fsck e2fsck -fn /dev/vda
            """;

        QemuGuest source = await QemuGuest.StartAsync(
            run, new QemuOptions { Disks = [new(exports[0].SocketPath) { Queues = 2, Packed = packed }] }, job, "source");
        await source.WaitForAsync(report => int.TryParse(report.TryValue("lines"), out int n) && n >= 5, "load", s_deadline);
        QemuGuest destination = await QemuGuest.StartAsync(
            run,
            new QemuOptions { Disks = [new(exports[1].SocketPath) { Queues = 2, Packed = packed }], ExtraArguments = ["-incoming", "defer"] },
            job,
            "dest");
        await source.MigrateAsync(destination, run.PathOf("migration.sock"), s_deadline, postcopy);
        int before = int.Parse(source.Report.Value("lines"), System.Globalization.CultureInfo.InvariantCulture);
        GuestReport report = await destination.FinishAsync(s_deadline);

        int after = int.Parse(report.Value("lines"), System.Globalization.CultureInfo.InvariantCulture);
        Assert.True(after > before, "the guest did not go on after its move");
        await image.CheckExt4Async();
        byte[] lines = await image.ReadExt4FileAsync("lines");
        Assert.Equal(string.Concat(Enumerable.Range(1, after).Select(n => $"line {n}\n")), Encoding.ASCII.GetString(lines));
    });
}
