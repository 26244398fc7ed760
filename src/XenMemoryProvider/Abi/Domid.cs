using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>Domain ids with a meaning of their own (xen.h). Real domains are below <see cref="FirstReserved"/>.</summary>
[CHeader("xen/xen.h")]
public static class Domid
{
    /// <summary>The first id that never names a domain.</summary>
    [CConstant("DOMID_FIRST_RESERVED")] public const ushort FirstReserved = 0x7FF0;
    /// <summary>The calling domain.</summary>
    [CConstant("DOMID_SELF")] public const ushort Self = 0x7FF0;
    /// <summary>Owner of I/O memory.</summary>
    [CConstant("DOMID_IO")] public const ushort Io = 0x7FF1;
    /// <summary>Owner of Xen's own pages.</summary>
    [CConstant("DOMID_XEN")] public const ushort Xen = 0x7FF2;
    /// <summary>Owner of shared pages.</summary>
    [CConstant("DOMID_COW")] public const ushort Cow = 0x7FF3;
    /// <summary>Never any domain; used for probes.</summary>
    [CConstant("DOMID_INVALID")] public const ushort Invalid = 0x7FF4;
    /// <summary>The idle domain.</summary>
    [CConstant("DOMID_IDLE")] public const ushort Idle = 0x7FFF;
    /// <summary>The bits of a domain id.</summary>
    [CConstant("DOMID_MASK")] public const ushort Mask = 0x7FFF;
}
