using System.Text;
using GuestKit;
using Xunit;

namespace EndToEnd.Block;

/// <summary>
/// The ring layouts and features that QEMU can be told to offer, each with the same checks: a file system made, written,
/// verified, trimmed and checked, and verified load past it on all queues at once; then the host looks at the image.
/// QEMU 7.2 has no property for IN_ORDER: DPDK's virtio-user and the front-end of this library run that.
/// </summary>
[Trait("Category", "Qemu")]
public sealed class RingVariantTests
{
    // Numbers of feature bits: the guest shows what was negotiated as a string of 0 and 1.
    private const int IndirectDescriptors = 28;
    private const int EventIndex = 29;
    private const int Packed = 34;

    private static readonly TimeSpan s_deadline = TimeSpan.FromMinutes(6);

    public static TheoryData<string, VhostUserDisk> Variants { get; } = new()
    {
        { "split", new VhostUserDisk("") },
        { "split, 4 queues", new VhostUserDisk("") { Queues = 4 } },
        { "split, no event index", new VhostUserDisk("") { EventIndex = false } },
        { "split, no indirect descriptors", new VhostUserDisk("") { IndirectDescriptors = false } },
        { "split, nothing extra, 4 queues", new VhostUserDisk("") { EventIndex = false, IndirectDescriptors = false, Queues = 4 } },
        { "split, 1024 descriptors", new VhostUserDisk("") { QueueSize = 1024 } },
        { "split, 4 descriptors", new VhostUserDisk("") { QueueSize = 4 } },
        { "packed", new VhostUserDisk("") { Packed = true } },
        { "packed, 4 queues", new VhostUserDisk("") { Packed = true, Queues = 4 } },
        { "packed, no event index", new VhostUserDisk("") { Packed = true, EventIndex = false } },
        { "packed, no indirect descriptors", new VhostUserDisk("") { Packed = true, IndirectDescriptors = false } },
        { "packed, nothing extra, 4 queues", new VhostUserDisk("") { Packed = true, EventIndex = false, IndirectDescriptors = false, Queues = 4 } },
        { "packed, 1024 descriptors", new VhostUserDisk("") { Packed = true, QueueSize = 1024 } },
    };

    [Theory(DisableDiscoveryEnumeration = true)]
    [MemberData(nameof(Variants))]
    public Task Ring_OfEachKind_CarriesVerifiedLoad(string name, VhostUserDisk knobs) => GuestRun.RunAsync("ring", async run =>
    {
        const string Fio = "--name=w --numjobs=4 --offset=32m --size=4m --offset_increment=4m --rw=randwrite --bsrange=4k-64k --direct=1 "
            + "--ioengine=libaio --iodepth=16 --thread --verify=crc32c --verify_fatal=1 --group_reporting";
        run.Log.Write("run", name);
        DiskImage image = DiskImage.Create(run, "disk.img", 48 << 20);
        var export = new DiskExport(run.PathOf("disk.sock"), image.Path) { Queues = knobs.Queues, QueueSize = 1024 };
        await new VhostXenBlk().StartAsync(run, export);
        var machine = new QemuOptions { Disks = [knobs with { SocketPath = export.SocketPath }], Processors = knobs.Queues };

        GuestReport report = await QemuGuest.RunJobAsync(run, machine, $$"""
            value features $(cat /sys/block/vda/device/features)
            value queues $(ls /sys/block/vda/mq | wc -l)
            step mkfs mkfs.ext4 -q -F /dev/vda 32m
            step mount mount -t ext4 /dev/vda /mnt
            numbers() { seq 1 20000 > /mnt/numbers; }
            step numbers numbers
            step fio-file fio --name=f --directory=/mnt --size=6m --rw=randwrite --bsrange=4k-64k --ioengine=libaio --iodepth=16 --direct=1 --verify=crc32c --verify_fatal=1
            step remove rm /mnt/f.0.0
            step sync sync
            step fstrim fstrim /mnt
            step unmount umount /mnt
            step fsck e2fsck -fn /dev/vda
            step fio fio {{Fio}} --filename=/dev/vda
            """, s_deadline);

        string features = report.Value("features");
        Assert.Equal(knobs.EventIndex, features[EventIndex] == '1');
        Assert.Equal(knobs.IndirectDescriptors, features[IndirectDescriptors] == '1');
        Assert.Equal(knobs.Packed, features[Packed] == '1');
        Assert.Equal($"{knobs.Queues}", report.Value("queues"));
        await image.CheckExt4Async();
        byte[] numbers = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(1, 20000).Select(n => $"{n}\n")));
        Assert.Equal(numbers, await image.ReadExt4FileAsync("numbers"));
        await image.VerifyWithFioAsync(Fio);
    });
}
