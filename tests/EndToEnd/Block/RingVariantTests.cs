using GuestKit;
using Xunit;

namespace EndToEnd.Block;

/// <summary>The ring layouts and features that QEMU can be told to offer, each under verified load.</summary>
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
        { "split, no event index", new VhostUserDisk("") { EventIndex = false } },
        { "split, no indirect descriptors", new VhostUserDisk("") { IndirectDescriptors = false } },
        { "split, nothing extra, 4 queues", new VhostUserDisk("") { EventIndex = false, IndirectDescriptors = false, Queues = 4 } },
        { "split, 1024 descriptors", new VhostUserDisk("") { QueueSize = 1024 } },
        { "split, 4 descriptors", new VhostUserDisk("") { QueueSize = 4 } },
        { "packed", new VhostUserDisk("") { Packed = true, Queues = 2 } },
        { "packed, no event index", new VhostUserDisk("") { Packed = true, EventIndex = false } },
        { "packed, no indirect descriptors", new VhostUserDisk("") { Packed = true, IndirectDescriptors = false } },
    };

    [Theory(DisableDiscoveryEnumeration = true)]
    [MemberData(nameof(Variants))]
    public Task Ring_OfEachKind_CarriesVerifiedLoad(string name, VhostUserDisk knobs) => GuestRun.RunAsync("ring", async run =>
    {
        const string Fio = "--name=w --numjobs=4 --size=4m --offset_increment=4m --rw=randwrite --bsrange=4k-64k --direct=1 "
            + "--ioengine=libaio --iodepth=16 --thread --verify=crc32c --verify_fatal=1 --group_reporting";
        run.Log.Write("run", name);
        DiskImage image = DiskImage.Create(run, "disk.img", 32 << 20);
        var export = new DiskExport(run.PathOf("disk.sock"), image.Path) { Queues = knobs.Queues, QueueSize = 1024 };
        await new VhostXenBlk().StartAsync(run, export);
        var machine = new QemuOptions { Disks = [knobs with { SocketPath = export.SocketPath }], Processors = knobs.Queues };

        GuestReport report = await QemuGuest.RunJobAsync(run, machine, $"""
            value features $(cat /sys/block/vda/device/features)
            value queues $(ls /sys/block/vda/mq | wc -l)
            step fio fio {Fio} --filename=/dev/vda
            """, s_deadline);

        string features = report.Value("features");
        Assert.Equal(knobs.EventIndex, features[EventIndex] == '1');
        Assert.Equal(knobs.IndirectDescriptors, features[IndirectDescriptors] == '1');
        Assert.Equal(knobs.Packed, features[Packed] == '1');
        Assert.Equal($"{knobs.Queues}", report.Value("queues"));
        await image.VerifyWithFioAsync(Fio);
    });
}
