namespace GuestKit;

/// <summary>One disk that a block daemon is to serve.</summary>
public sealed record DiskExport(string SocketPath, string ImagePath)
{
    public bool ReadOnly { get; init; }

    public int Queues { get; init; } = 1;

    public int QueueSize { get; init; } = 256;

    /// <summary>Bypass the host's page cache.</summary>
    public bool Direct { get; init; }

    public bool Writethrough { get; init; }

    /// <summary>What the guest reads in /sys/block/vda/serial; null leaves it to the daemon.</summary>
    public string? Serial { get; init; }

    public int LogicalBlockSize { get; init; } = 512;
}
