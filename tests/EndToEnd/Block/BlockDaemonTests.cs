using System.Globalization;
using System.Text;
using GuestKit;
using Xunit;

namespace EndToEnd.Block;

/// <summary>
/// What a Linux guest expects of its disks, whichever daemon serves them. After each run the host looks at the image
/// with its own tools, so that guest and daemon cannot agree on something wrong.
/// </summary>
public abstract class BlockDaemonTests(BlockDaemon daemon)
{
    private const long MiB = 1 << 20;

    private static readonly TimeSpan s_deadline = TimeSpan.FromMinutes(6);

    protected BlockDaemon Daemon { get; } = daemon;

    [Fact]
    public Task Disk_PartitionedFormattedAndExercised_HoldsWhatTheGuestWrote() => GuestRun.RunAsync("disk", async run =>
    {
        DiskImage image = DiskImage.Create(run, "disk.img", 192 * MiB);
        image.Fill(128 * MiB, 64 * MiB, 0x5A);
        var export = new DiskExport(run.PathOf("disk.sock"), image.Path) { Serial = Daemon.HasSerial ? "VX-0001" : null };
        await Daemon.StartAsync(run, export);

        GuestReport report = await QemuGuest.RunJobAsync(run, new QemuOptions { Disks = [new(export.SocketPath)] }, """
            value size $(blockdev --getsize64 /dev/vda)
            value block $(cat /sys/block/vda/queue/logical_block_size)
            value serial $(cat /sys/block/vda/serial)
            value discard $(cat /sys/block/vda/queue/discard_max_bytes)
            value zeroes $(cat /sys/block/vda/queue/write_zeroes_max_bytes)

            table() { printf 'label: dos\nstart=2048, size=262144, type=83\nstart=264192, type=83\n' | sfdisk -q --wipe never /dev/vda; }
            step partition table
            step reread blockdev --rereadpt /dev/vda
            value partitions $(ls -d /sys/block/vda/vda* | wc -l)

            step mkfs mkfs.ext4 -q -F /dev/vda1
            step mount mount -t ext4 /dev/vda1 /mnt
            numbers() { seq 1 50000 > /mnt/numbers; }
            step numbers numbers
            step fio-file fio --name=f --directory=/mnt --size=24m --rw=randwrite --bsrange=4k-64k --ioengine=libaio --iodepth=16 --direct=1 --verify=crc32c --verify_fatal=1
            step remove rm /mnt/f.0.0
            step sync sync
            step fstrim fstrim -v /mnt
            step unmount umount /mnt
            step fsck e2fsck -fn /dev/vda1

            # The raw partition, 63 MiB from 129 MiB on: trims among verified writes, trimmed blocks must read as zeroes.
            step fio-trim fio --name=t --filename=/dev/vda2 --size=16m --rw=randtrimwrite --bs=4k --ioengine=libaio --iodepth=8 --direct=1 --verify=crc32c --verify_fatal=1 --trim_percentage=30 --trim_verify_zero=1 --trim_backlog=32
            step pattern fio --name=p --filename=/dev/vda2 --offset=16m --size=8m --rw=randwrite --bs=16k --direct=1 --buffer_pattern=0xc3
            step discard blkdiscard -o $((24 << 20)) -l $((8 << 20)) /dev/vda2
            step zeroes blkdiscard -z -o $((32 << 20)) -l $((8 << 20)) /dev/vda2
            step flush blockdev --flushbufs /dev/vda
            """, s_deadline);

        Assert.Equal((192 * MiB).ToString(CultureInfo.InvariantCulture), report.Value("size"));
        Assert.Equal("512", report.Value("block"));
        Assert.Equal("2", report.Value("partitions"));
        Assert.NotEqual("0", report.Value("discard"));
        Assert.NotEqual("0", report.Value("zeroes"));
        if (export.Serial is not null)
            Assert.Equal(export.Serial, report.Value("serial"));

        await image.CheckExt4Async(MiB);
        byte[] numbers = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(1, 50000).Select(n => $"{n}\n")));
        Assert.Equal(numbers, await image.ReadExt4FileAsync("numbers", MiB));
        Assert.True(image.IsFilled(145 * MiB, 8 * MiB, 0xC3), "the pattern is not where the guest wrote it");
        Assert.True(image.IsFilled(153 * MiB, 8 * MiB, 0), "a discarded range still has its old content");
        Assert.True(image.IsFilled(161 * MiB, 8 * MiB, 0), "a zeroed range still has its old content");
        Assert.True(image.IsFilled(169 * MiB, 23 * MiB, 0x5A), "something wrote where the guest did not");
        // Trimming has to give space back to the host: 128 MiB of file system with 0.3 MiB in it, and the discarded 8.
        Assert.InRange(await image.AllocatedBytesAsync(), 40 * MiB, 100 * MiB);
    });

    [Fact]
    public Task Queues_TwoWithSixteenWriters_EachKeepsItsData() => GuestRun.RunAsync("queues", async run =>
    {
        const string Fio = "--name=w --numjobs=16 --size=3m --offset_increment=3m --rw=randwrite --bsrange=4k-32k "
            + "--direct=1 --ioengine=psync --thread --verify=crc32c --verify_fatal=1 --group_reporting";
        DiskImage image = DiskImage.Create(run, "disk.img", 64 * MiB);
        var export = new DiskExport(run.PathOf("disk.sock"), image.Path) { Queues = 2 };
        await Daemon.StartAsync(run, export);

        GuestReport report = await QemuGuest.RunJobAsync(run, new QemuOptions { Disks = [new(export.SocketPath) { Queues = 2 }] }, $"""
            value queues $(ls /sys/block/vda/mq | wc -l)
            step fio fio {Fio} --filename=/dev/vda
            value interrupts $(grep -c 'virtio.*-req' /proc/interrupts)
            """, s_deadline);

        Assert.Equal("2", report.Value("queues"));
        Assert.Equal("2", report.Value("interrupts"));
        await image.VerifyWithFioAsync(Fio);
    });

    [Fact]
    public Task Cache_SwitchedByTheGuest_ReadsBackAndKeepsData() => GuestRun.RunAsync("cache", async run =>
    {
        DiskImage image = DiskImage.Create(run, "disk.img", 16 * MiB);
        var export = new DiskExport(run.PathOf("disk.sock"), image.Path);
        await Daemon.StartAsync(run, export);

        GuestReport report = await QemuGuest.RunJobAsync(run, new QemuOptions { Disks = [new(export.SocketPath)] }, """
            cache=/sys/block/vda/cache_type
            write_some() { fio --name=c --filename=/dev/vda --offset=$1 --size=1m --rw=write --bs=64k --direct=1 --fsync=4 --buffer_pattern=$2; }
            set_cache() { echo "$1" > $cache; }
            value at-start $(cat $cache)
            step set-back set_cache "write back"
            same cache-back "write back" "$(cat $cache)"
            step write-back write_some 0 0x11
            step set-through set_cache "write through"
            same cache-through "write through" "$(cat $cache)"
            step write-through write_some 1m 0x22
            step set-back-again set_cache "write back"
            same cache-back-again "write back" "$(cat $cache)"
            step write-back-again write_some 2m 0x33
            """, s_deadline);

        Assert.Equal(Daemon.CacheAtStart, report.Value("at-start"));
        Assert.True(image.IsFilled(0, MiB, 0x11));
        Assert.True(image.IsFilled(MiB, MiB, 0x22));
        Assert.True(image.IsFilled(2 * MiB, MiB, 0x33));
    });

    [Fact]
    public Task Disk_With4KiBBlocks_IsSeenSo() => GuestRun.RunAsync("block4k", async run =>
    {
        DiskImage image = DiskImage.Create(run, "disk.img", 32 * MiB);
        var export = new DiskExport(run.PathOf("disk.sock"), image.Path) { LogicalBlockSize = 4096 };
        await Daemon.StartAsync(run, export);

        await QemuGuest.RunJobAsync(run, new QemuOptions { Disks = [new(export.SocketPath)] }, """
            same block 4096 "$(cat /sys/block/vda/queue/logical_block_size)"
            same size 33554432 "$(blockdev --getsize64 /dev/vda)"
            step mkfs mkfs.ext4 -q -F /dev/vda
            step mount mount -t ext4 /dev/vda /mnt
            step copy cp /usr/sbin/sfdisk /mnt/
            step unmount umount /mnt
            """, s_deadline);

        await image.CheckExt4Async();
    });

    [Fact]
    public Task Disk_ReadOnly_RefusesWritesAndStaysAsItWas() => GuestRun.RunAsync("readonly", async run =>
    {
        DiskImage image = DiskImage.Create(run, "disk.img", 32 * MiB);
        await HostTool.RunAsync(run, "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", image.Path);
        string before = image.Sha256();
        var export = new DiskExport(run.PathOf("disk.sock"), image.Path) { ReadOnly = true };
        await Daemon.StartAsync(run, export);

        await QemuGuest.RunJobAsync(run, new QemuOptions { Disks = [new(export.SocketPath)] }, """
            same ro 1 "$(cat /sys/block/vda/ro)"
            step read dd if=/dev/vda of=/dev/null bs=1M
            refused write dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync
            refused discard blkdiscard -f -l 1048576 /dev/vda
            step mount-ro mount -t ext4 -o ro /dev/vda /mnt
            step list ls /mnt/lost+found
            refused create touch /mnt/file
            step unmount umount /mnt
            """, s_deadline);

        Assert.Equal(before, image.Sha256());
    });

    [Fact]
    public Task Daemon_WithThreeDisks_KeepsThemApart() => GuestRun.RunAsync("three", async run =>
    {
        DiskImage[] images = [.. Enumerable.Range(0, 3).Select(i => DiskImage.Create(run, $"disk{i}.img", (8 + (8 * i)) * MiB))];
        DiskExport[] exports = [.. images.Select((image, i) =>
            new DiskExport(run.PathOf($"disk{i}.sock"), image.Path) { Serial = Daemon.HasSerial ? $"VX-{i}" : null })];
        await Daemon.StartAsync(run, exports);

        GuestReport report = await QemuGuest.RunJobAsync(
            run, new QemuOptions { Disks = [.. exports.Select(export => new VhostUserDisk(export.SocketPath))] }, """
            write_all() { fio --name=$1 --filename=/dev/$1 --rw=randwrite --bs=64k --direct=1 --iodepth=8 --ioengine=libaio --buffer_pattern=$2; }
            value sizes $(cat /sys/block/vda/size /sys/block/vdb/size /sys/block/vdc/size)
            value serials $(cat /sys/block/vda/serial) $(cat /sys/block/vdb/serial) $(cat /sys/block/vdc/serial)
            all_at_once() { write_all vda 0xa1 & a=$!; write_all vdb 0xb2 & b=$!; write_all vdc 0xc3 && wait $a && wait $b; }
            step write all_at_once
            """, s_deadline);

        Assert.Equal("16384 32768 49152", report.Value("sizes"));
        if (Daemon.HasSerial)
            Assert.Equal("VX-0 VX-1 VX-2", report.Value("serials"));
        for (int i = 0; i < images.Length; i++)
            Assert.True(images[i].IsFilled(0, (8 + (8 * i)) * MiB, (byte)(0xA1 + (0x11 * i))), $"disk {i} has foreign content");
    });

    [Fact]
    public Task Qemu_KilledWhileWriting_LosesNothingAcknowledgedAndStartsAgain() => GuestRun.RunAsync("killed", async run =>
    {
        const int BlockSize = 4096;
        DiskImage files = DiskImage.Create(run, "files.img", 96 * MiB);
        DiskImage blocks = DiskImage.Create(run, "blocks.img", 16 * MiB);
        DiskExport[] exports =
            [new(run.PathOf("files.sock"), files.Path) { Queues = 2 }, new(run.PathOf("blocks.sock"), blocks.Path)];
        DaemonProcess daemon = await Daemon.StartAsync(run, exports);
        var machine = new QemuOptions
        {
            Disks = [new(exports[0].SocketPath) { Queues = 2 }, new(exports[1].SocketPath)],
        };
        await HostTool.RunAsync(run, "mkfs.ext4", "-q", "-F", files.Path);

        QemuGuest first = await QemuGuest.StartAsync(run, machine, """
            step mount mount -t ext4 /dev/vda /mnt
            numbers() { seq 1 20000 > /mnt/numbers && sync; }
            step numbers numbers
            fio --name=churn --directory=/mnt --size=16m --numjobs=3 --thread --rw=randrw --bsrange=4k-64k --ioengine=libaio --iodepth=8 --time_based --runtime=120 --fsync=32 &
            i=0
            while [ $i -lt 4000 ]; do
                printf 'block %8d' $i | dd of=/dev/vdb bs=4096 seek=$i conv=sync oflag=direct status=none || break
                value acknowledged $i
                i=$((i + 1))
            done
            finish FAIL
            """, "first");
        await first.WaitForAsync(
            report => int.TryParse(report.TryValue("acknowledged"), out int n) && n >= 100, "100 acknowledged blocks", s_deadline);
        await first.KillAsync();

        int acknowledged = int.Parse(first.Report.Value("acknowledged"), CultureInfo.InvariantCulture);
        for (int i = 0; i <= acknowledged; i++)
            Assert.Equal($"block {i,8}", Encoding.ASCII.GetString(blocks.Read(i * BlockSize, BlockSize)).TrimEnd('\0'));

        await QemuGuest.RunJobAsync(run, machine, """
            step mount mount -t ext4 /dev/vda /mnt
            same numbers 20000 "$(tail -n 1 /mnt/numbers)"
            step fio fio --name=v --directory=/mnt --size=8m --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=16 --verify=crc32c --verify_fatal=1
            step unmount umount /mnt
            step fsck e2fsck -fn /dev/vda
            """, s_deadline, "second");

        Assert.False(daemon.Exited.IsCompleted, "the daemon did not outlive its front-end");
        await files.CheckExt4Async();
        Assert.Equal(0, await daemon.StopAsync(TimeSpan.FromSeconds(20)));
    });

    [Fact]
    public Task Guest_PausedAndResumedUnderLoad_GoesOnWithItsRingsAndCacheMode() => GuestRun.RunAsync("pause", async run =>
    {
        const string Fio = "--name=p --size=24m --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=8 "
            + "--verify=crc32c --verify_fatal=1";
        DiskImage image = DiskImage.Create(run, "disk.img", 32 * MiB);
        var export = new DiskExport(run.PathOf("disk.sock"), image.Path) { Queues = 2 };
        await Daemon.StartAsync(run, export);

        QemuGuest guest = await QemuGuest.StartAsync(run, new QemuOptions { Disks = [new(export.SocketPath) { Queues = 2 }] }, $$"""
            through() { echo "write through" > /sys/block/vda/cache_type; }
            step through through
            fio {{Fio}} --rate_iops=1500 --filename=/dev/vda & fio=$!
            value writing yes
            step fio wait $fio
            same cache "write through" "$(cat /sys/block/vda/cache_type)"
            """);
        await guest.WaitForAsync(report => report.TryValue("writing") is not null, "writes to run", s_deadline);
        using QmpClient qmp = await guest.ConnectQmpAsync();
        for (int i = 0; i < 5; i++)
        {
            await qmp.ExecuteAsync("stop");
            await qmp.ExecuteAsync("cont");
        }
        await guest.FinishAsync(s_deadline);

        await image.VerifyWithFioAsync(Fio);
    });

    [Fact]
    public Task Daemon_Restarted_IsReconnectedByQemu() => GuestRun.RunAsync("restart", async run =>
    {
        const string Fio = "--name=r --size=24m --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=8 "
            + "--verify=crc32c --verify_fatal=1 --rate_iops=1500";
        DiskImage image = DiskImage.Create(run, "disk.img", 32 * MiB);
        var export = new DiskExport(run.PathOf("disk.sock"), image.Path) { Queues = 2 };
        DaemonProcess daemon = await Daemon.StartAsync(run, export);
        var machine = new QemuOptions { Disks = [new(export.SocketPath) { Queues = 2, Reconnect = true }] };

        QemuGuest guest = await QemuGuest.StartAsync(run, machine, Daemon.SurvivesRestartUnderLoad
            ? $$"""
                wait_for_writes() { until [ $(awk '{ print $5 }' /sys/block/vda/stat) -gt 200 ]; do sleep 0.1; done; }
                fio {{Fio}} --filename=/dev/vda & fio=$!
                step started wait_for_writes
                value writing yes
                step fio wait $fio
                """
            : $"""
                step first dd if=/dev/zero of=/dev/vda bs=1M count=1 oflag=direct
                await restart
                step fio fio {Fio} --filename=/dev/vda
                """);
        if (Daemon.SurvivesRestartUnderLoad)
            await guest.WaitForAsync(report => report.TryValue("writing") is not null, "writes to run", s_deadline);
        else
            await guest.WaitUntilAwaitsAsync("restart", s_deadline);
        Assert.Equal(0, await daemon.StopAsync(TimeSpan.FromSeconds(20)));
        await Daemon.StartAsync(run, export);
        if (!Daemon.SurvivesRestartUnderLoad)
            guest.Answer();
        await guest.FinishAsync(s_deadline);

        await image.VerifyWithFioAsync(Fio.Replace("--rate_iops=1500", "", StringComparison.Ordinal));
    });
}
