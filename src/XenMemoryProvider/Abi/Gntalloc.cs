using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>ioctls and arguments of /dev/xen/gntalloc, which grants pages of this domain (xen/gntalloc.h).</summary>
[CHeader("xen/gntalloc.h")]
public static class Gntalloc
{
    [CConstant("IOCTL_GNTALLOC_ALLOC_GREF")] public const uint IoctlAllocGref = 0x00184705;
    [CConstant("IOCTL_GNTALLOC_DEALLOC_GREF")] public const uint IoctlDeallocGref = 0x00104706;
    [CConstant("IOCTL_GNTALLOC_SET_UNMAP_NOTIFY")] public const uint IoctlSetUnmapNotify = 0x00104707;

    /// <summary>The grantee may write.</summary>
    [CConstant("GNTALLOC_FLAG_WRITABLE")] public const ushort FlagWritable = 1;

    /// <summary>Bytes of <see cref="AllocGref"/> before its references.</summary>
    [NotInC("part of a struct")] public const int AllocGrefHeaderSize = 16;

    /// <summary>Allocates pages and grants them to a domain; mmap at the returned index maps them.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct ioctl_gntalloc_alloc_gref", "xen/gntalloc.h")]
    public struct AllocGref
    {
        /// <summary>The grantee.</summary>
        [FieldOffset(0), CField("domid")] public ushort Domid;
        [FieldOffset(2), CField("flags")] public ushort Flags;
        /// <summary>Pages.</summary>
        [FieldOffset(4), CField("count")] public uint Count;
        /// <summary>Out: the offset for mmap.</summary>
        [FieldOffset(8), CField("index")] public ulong Index;
        /// <summary>Out: the first of Count references.</summary>
        [FieldOffset(16), CField("gref_ids[0]")] public uint GrefId0;
    }

    /// <summary>Gives the pages back once the grantee has unmapped them.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct ioctl_gntalloc_dealloc_gref", "xen/gntalloc.h")]
    public struct DeallocGref
    {
        [FieldOffset(0), CField("index")] public ulong Index;
        [FieldOffset(8), CField("count")] public uint Count;
    }

    /// <summary>What happens when the pages are unmapped here.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct ioctl_gntalloc_unmap_notify", "xen/gntalloc.h")]
    public struct UnmapNotify
    {
        [FieldOffset(0), CField("index")] public ulong Index;
        [FieldOffset(8), CField("action")] public uint Action;
        [FieldOffset(12), CField("event_channel_port")] public uint EventChannelPort;
    }
}
