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

    /// <summary>
    /// Is a domain crashed for every step back of an ioreq's state? Xen's rule; but Xen forgets what it saw when the virtual
    /// CPU sleeps, so it catches few.
    /// </summary>
    public bool StrictIoreqStates { get; init; } = true;

    /// <summary>Domains at most.</summary>
    public int MaxDomains { get; init; } = 1024;
}
