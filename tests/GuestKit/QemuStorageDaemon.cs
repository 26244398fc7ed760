namespace GuestKit;

/// <summary>Debian's qemu-storage-daemon: a real peer of ours, so a test that fails on it is a wrong test.</summary>
public sealed class QemuStorageDaemon : BlockDaemon
{
    public override string Name => "qsd";

    public override bool SurvivesRestartUnderLoad => false;

    public override BlockDaemon ForSharedImage() => new QemuStorageDaemon { Locking = false };

    public override string CacheAtStart => "write through";

    public override bool HasSerial => false;

    /// <summary>Lock the image against other processes, as it does unless told otherwise.</summary>
    public bool Locking { get; init; } = true;

    public override CommandLine CommandLine(GuestRun run, IReadOnlyList<DiskExport> exports) =>
        new("qemu-storage-daemon", [.. exports.SelectMany(Arguments)]);

    private IEnumerable<string> Arguments(DiskExport export, int index) =>
    [
        "--blockdev",
        $"driver=file,node-name=file{index},filename={export.ImagePath},discard=unmap,"
            + $"read-only={OnOff(export.ReadOnly)},cache.direct={OnOff(export.Direct)},locking={OnOff(Locking)}",
        "--blockdev", $"driver=raw,node-name=disk{index},file=file{index},discard=unmap,read-only={OnOff(export.ReadOnly)}",
        "--export",
        $"type=vhost-user-blk,id=export{index},node-name=disk{index},addr.type=unix,addr.path={export.SocketPath},"
            + $"num-queues={export.Queues},logical-block-size={export.LogicalBlockSize},writable={OnOff(!export.ReadOnly)}",
    ];

    private static string OnOff(bool value) => value ? "on" : "off";
}
