namespace VhostUser.Protocol;

/// <summary>How a region is to be mapped under VHOST_USER_PROTOCOL_F_XEN_MMAP (bit 17).</summary>
[Flags]
public enum XenMmapFlags : uint
{
    /// <summary>An ordinary file descriptor to mmap.</summary>
    None = 0,

    /// <summary>Foreign-map guest frames through privcmd.</summary>
    Foreign = 0x1,

    /// <summary>Map grant references through gntdev.</summary>
    Grant = 0x2,

    /// <summary>NO_ADVANCE_MAP as rust-vmm puts it on the wire; folded into <see cref="NoAdvanceMap"/> on input.</summary>
    NoAdvanceMapRustVmm = 0x8,

    /// <summary>Do not map when the region arrives, map per access (as the specification numbers it).</summary>
    NoAdvanceMap = 0x100,
}
