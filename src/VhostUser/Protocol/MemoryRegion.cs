namespace VhostUser.Protocol;

/// <summary>One memory region as a front-end announces it (SET_MEM_TABLE, ADD_MEM_REG, REM_MEM_REG).</summary>
/// <param name="GuestAddress">First guest address of the region.</param>
/// <param name="Size">Length in bytes.</param>
/// <param name="UserAddress">First address in the front-end's address space; 0 for Xen regions mapped on demand.</param>
/// <param name="MmapOffset">Where the region starts in the file, in bytes.</param>
/// <param name="XenFlags">How to map under Xen; <see cref="XenMmapFlags.None"/> for a plain file.</param>
/// <param name="XenDomain">The guest's domain id under Xen.</param>
public readonly record struct MemoryRegion(
    GuestAddress GuestAddress,
    ulong Size,
    FrontendAddress UserAddress,
    ulong MmapOffset,
    XenMmapFlags XenFlags = XenMmapFlags.None,
    uint XenDomain = 0);
