using System.Text.Json.Nodes;

namespace GuestKit;

/// <summary>Our daemon: one disk by its command line, several by a configuration file.</summary>
public sealed class VhostXenBlk : BlockDaemon
{
    public override string Name => "vhostxen-blk";

    public override bool SurvivesRestartUnderLoad => true;

    public override BlockDaemon ForSharedImage() => new VhostXenBlk { Locking = false };

    public override string CacheAtStart => "write back";

    public override bool HasSerial => true;

    /// <summary>Lock the image against other processes, as it does unless told otherwise.</summary>
    public bool Locking { get; init; } = true;

    /// <summary>How long a worker polls before it sleeps; null leaves it to the daemon.</summary>
    public int? PollMicroseconds { get; init; }

    /// <summary>Path of the executable: $VHOSTXEN_BLK, or what the solution's build left.</summary>
    public static string Executable { get; } = Environment.GetEnvironmentVariable("VHOSTXEN_BLK") ?? Path.Combine(
        Repository.Root, "src", "Backends.Block", "bin", Repository.Configuration, "net10.0", "vhostxen-blk");

    public override CommandLine CommandLine(GuestRun run, IReadOnlyList<DiskExport> exports) =>
        new(Executable, exports is [var single] ? Arguments(single) : ["--config", WriteConfiguration(run, exports)]);

    private string[] Arguments(DiskExport export)
    {
        List<string> arguments =
        [
            $"--socket-path={export.SocketPath}", $"--blk-file={export.ImagePath}",
            $"--num-queues={export.Queues}", $"--queue-size={export.QueueSize}", $"--logical-block-size={export.LogicalBlockSize}",
        ];
        if (export.ReadOnly)
            arguments.Add("--read-only");
        if (export.Direct)
            arguments.Add("--direct");
        if (export.Writethrough)
            arguments.Add("--cache=writethrough");
        if (export.Serial is not null)
            arguments.Add($"--serial={export.Serial}");
        if (!Locking)
            arguments.Add("--no-lock");
        if (PollMicroseconds is { } microseconds)
            arguments.Add($"--poll-us={microseconds}");
        return [.. arguments];
    }

    private string WriteConfiguration(GuestRun run, IReadOnlyList<DiskExport> exports)
    {
        var devices = new JsonArray();
        foreach (DiskExport export in exports)
        {
            devices.Add(new JsonObject
            {
                ["SocketPath"] = export.SocketPath,
                ["BlkFile"] = export.ImagePath,
                ["NumQueues"] = export.Queues,
                ["QueueSize"] = export.QueueSize,
                ["LogicalBlockSize"] = export.LogicalBlockSize,
                ["ReadOnly"] = export.ReadOnly,
                ["Direct"] = export.Direct,
                ["Cache"] = export.Writethrough ? "writethrough" : "writeback",
                ["Serial"] = export.Serial,
                ["Lock"] = Locking,
            });
        }
        string path = run.PathOf("vhostxen-blk.json");
        File.WriteAllText(path, new JsonObject { ["Devices"] = devices }.ToString());
        return path;
    }
}
