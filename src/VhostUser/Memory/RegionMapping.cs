namespace VhostUser.Memory;

/// <summary>
/// One mapped region. Two kinds: mapped in advance (<see cref="Pointer"/> is set and resolving is pointer
/// arithmetic) or mapped on demand (<see cref="OnDemand"/> is set and every chain maps what it needs).
/// </summary>
public abstract unsafe class RegionMapping : IDisposable
{
    /// <summary>The region's first byte in this process, or null when it is mapped on demand.</summary>
    public byte* Pointer { get; protected init; }

    /// <summary>The mapper for regions that are mapped on demand, shared by all regions of one guest; else null.</summary>
    public IOnDemandMapper? OnDemand { get; protected init; }

    /// <summary>
    /// False where the kernel cannot pin the pages (VM_PFNMAP: Xen mappings): O_DIRECT and io_uring fixed
    /// buffers answer EFAULT there, so a store that needs them copies through a buffer of its own.
    /// </summary>
    public bool CanPin { get; protected init; } = true;

    /// <summary>True when some pages of the mapping must not be touched; then <see cref="IsAccessible"/> is asked.</summary>
    public virtual bool HasHoles => false;

    /// <summary>Whether all pages of a part of the region can be touched.</summary>
    /// <param name="offset">Bytes from the start of the region; the part lies inside the region.</param>
    /// <param name="length">Bytes.</param>
    public virtual bool IsAccessible(ulong offset, ulong length) => true;

    public abstract void Dispose();
}
