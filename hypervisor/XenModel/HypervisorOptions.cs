using XenModel.Domains;

namespace XenModel;

/// <summary>The machine and Xen's command line.</summary>
public sealed record HypervisorOptions
{
    public Architecture Architecture { get; init; } = Architecture.X86;

    /// <summary>Domain 0: PV (usual) or PVH. Some errors of its drivers differ.</summary>
    public DomainType Dom0Type { get; init; } = DomainType.PV;

    /// <summary>Memory that domain 0 can grant to others, in MiB.</summary>
    public int Dom0MemoryMiB { get; init; } = 64;

    /// <summary>Domains at most.</summary>
    public int MaxDomains { get; init; } = 1024;
}
