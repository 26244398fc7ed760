namespace Backends.Block.Device;

/// <summary>What the operator decides about a disk, apart from where its bytes are.</summary>
internal sealed record BlockDeviceOptions
{
    /// <summary>For the log and the metrics.</summary>
    public string Name { get; init; } = "disk";

    public bool ReadOnly { get; init; }

    /// <summary>Queues, 1 to 1024.</summary>
    public int Queues { get; init; } = 16;

    /// <summary>Largest ring, a power of two from 4 to 32768.</summary>
    public int QueueSize { get; init; } = 1024;

    /// <summary>Writes may complete before they are stable, until a flush; the driver may change it (CONFIG_WCE).</summary>
    public bool Writeback { get; init; } = true;

    /// <summary>What GET_ID answers; ASCII, 20 bytes at most.</summary>
    public string Serial { get; init; } = "vhostxen";

    /// <summary>In bytes, a power of two from 512; 0 takes the store's.</summary>
    public uint LogicalBlockSize { get; init; }
}
