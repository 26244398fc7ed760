namespace XenModel.Domains;

/// <summary>What a toolstack says when it creates a domain.</summary>
public sealed record DomainOptions
{
    /// <summary>Unique; written to xenstore.</summary>
    public string Name { get; init; } = "guest";

    public DomainType Type { get; init; } = DomainType.PVH;

    /// <summary>In MiB.</summary>
    public int MemoryMiB { get; init; } = 64;

    public int Vcpus { get; init; } = 1;

    /// <summary>Pages beyond <see cref="MemoryMiB"/> that the domain may hold; xl gives 256.</summary>
    public int SlackPages { get; init; } = 256;

    /// <summary>Highest event channel; xl's default is 1023.</summary>
    public int MaxEventChannelPort { get; init; } = 1023;

    /// <summary>Frames of its grant table at most.</summary>
    public int MaxGrantFrames { get; init; } = 64;

    /// <summary>Frames of grant mappings it may hold at most (256 mappings each).</summary>
    public int MaxMaptrackFrames { get; init; } = 1024;

    /// <summary>The highest grant table version it may choose: 1 or 2.</summary>
    public int MaxGrantVersion { get; init; } = 2;

    /// <summary>Is it for a domain that serves the target (a stub domain or driver domain)? Gives device-model rights over that domain.</summary>
    public ushort? Target { get; init; }

    /// <summary>Does it start paused, for a device model to attach? Else it is unpaused by the creation.</summary>
    public bool Paused { get; init; } = true;

    /// <summary>The first guest address of the hole below 4 GiB; 0 takes the type's default.</summary>
    public ulong MmioHole { get; init; }
}
