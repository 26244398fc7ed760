namespace XenVhostMaster.Frontends;

/// <summary>One back-end and what its device shall be.</summary>
internal sealed record BackendOptions
{
    public required DeviceKind Kind { get; init; }

    /// <summary>The Unix socket on which the back-end listens.</summary>
    public required string Socket { get; init; }

    /// <summary>Queues; null for as many as the back-end has.</summary>
    public int? Queues { get; init; }

    /// <summary>Entries per queue at most.</summary>
    public ushort QueueSize { get; init; } = 256;

    /// <summary>The guest's addresses are grants (it runs with grant_usage=1).</summary>
    public bool Grants { get; init; }

    /// <summary>For messages: the device and its socket.</summary>
    public string Name => $"{Kind.Name} {Socket}";
}
