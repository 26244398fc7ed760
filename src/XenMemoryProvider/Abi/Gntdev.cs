using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>ioctls and arguments of /dev/xen/gntdev (xen/gntdev.h). Pointers are user addresses.</summary>
[CHeader("xen/gntdev.h")]
public static class Gntdev
{
    /// <summary>Sized for one reference, however many follow.</summary>
    [CConstant("IOCTL_GNTDEV_MAP_GRANT_REF")] public const uint IoctlMapGrantRef = 0x00184700;
    [CConstant("IOCTL_GNTDEV_UNMAP_GRANT_REF")] public const uint IoctlUnmapGrantRef = 0x00104701;
    [CConstant("IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR")] public const uint IoctlGetOffsetForVaddr = 0x00184702;
    /// <summary>Not implemented by mainline Linux.</summary>
    [CConstant("IOCTL_GNTDEV_SET_MAX_GRANTS")] public const uint IoctlSetMaxGrants = 0x00044703;
    [CConstant("IOCTL_GNTDEV_SET_UNMAP_NOTIFY")] public const uint IoctlSetUnmapNotify = 0x00104707;
    [CConstant("IOCTL_GNTDEV_GRANT_COPY")] public const uint IoctlGrantCopy = 0x00104708;

    /// <summary>On unmap, write 0 to the byte named by the index.</summary>
    [CConstant("UNMAP_NOTIFY_CLEAR_BYTE")] public const uint UnmapNotifyClearByte = 1;
    /// <summary>On unmap, notify the event channel.</summary>
    [CConstant("UNMAP_NOTIFY_SEND_EVENT")] public const uint UnmapNotifySendEvent = 2;

    /// <summary><see cref="GrantCopySegment.Flags"/>: the source is a grant.</summary>
    [NotInC("literal in the kernel")] public const ushort CopySourceGref = GrantTableOp.CopySourceGref;
    /// <summary><see cref="GrantCopySegment.Flags"/>: the destination is a grant.</summary>
    [NotInC("literal in the kernel")] public const ushort CopyDestGref = GrantTableOp.CopyDestGref;

    /// <summary>Bytes of <see cref="MapGrantRef"/> before its references.</summary>
    [NotInC("part of a struct")] public const int MapGrantRefHeaderSize = 16;

    /// <summary>One reference to map.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 8)]
    [CStruct("struct ioctl_gntdev_grant_ref", "xen/gntdev.h")]
    public struct GrantRef
    {
        /// <summary>The granting domain.</summary>
        [FieldOffset(0), CField("domid")] public uint Domid;
        /// <summary>Its grant reference.</summary>
        [FieldOffset(4), CField("ref")] public uint Ref;
    }

    /// <summary>Reserves a slot for references; mmap at the returned index maps them.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct ioctl_gntdev_map_grant_ref", "xen/gntdev.h")]
    public struct MapGrantRef
    {
        [FieldOffset(0), CField("count")] public uint Count;
        [FieldOffset(4), CField("pad")] public uint Pad;
        /// <summary>Out: the offset for mmap.</summary>
        [FieldOffset(8), CField("index")] public ulong Index;
        /// <summary>The first of Count references.</summary>
        [FieldOffset(16), CField("refs[0]")] public GrantRef Ref0;
    }

    /// <summary>Gives a slot back; after munmap.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct ioctl_gntdev_unmap_grant_ref", "xen/gntdev.h")]
    public struct UnmapGrantRef
    {
        [FieldOffset(0), CField("index")] public ulong Index;
        [FieldOffset(8), CField("count")] public uint Count;
        [FieldOffset(12), CField("pad")] public uint Pad;
    }

    /// <summary>Finds the slot of a mapping.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct ioctl_gntdev_get_offset_for_vaddr", "xen/gntdev.h")]
    public struct GetOffsetForVaddr
    {
        [FieldOffset(0), CField("vaddr")] public ulong Vaddr;
        [FieldOffset(8), CField("offset")] public ulong Offset;
        [FieldOffset(16), CField("count")] public uint Count;
        [FieldOffset(20), CField("pad")] public uint Pad;
    }

    /// <summary>A limit that mainline ignores.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct ioctl_gntdev_set_max_grants", "xen/gntdev.h")]
    public struct SetMaxGrants
    {
        [FieldOffset(0), CField("count")] public uint Count;
    }

    /// <summary>What happens when a grant is unmapped, also by a crash.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct ioctl_gntdev_unmap_notify", "xen/gntdev.h")]
    public struct UnmapNotify
    {
        /// <summary>Byte offset in the fd's address space.</summary>
        [FieldOffset(0), CField("index")] public ulong Index;
        [FieldOffset(8), CField("action")] public uint Action;
        [FieldOffset(12), CField("event_channel_port")] public uint EventChannelPort;
    }

    /// <summary>One copy between local memory or a grant, and a grant or local memory.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct gntdev_grant_copy_segment", "xen/gntdev.h")]
    public struct GrantCopySegment
    {
        /// <summary>User address, when the source is local.</summary>
        [FieldOffset(0), CField("source.virt")] public ulong SourceVirt;
        [FieldOffset(0), CField("source.foreign.ref")] public uint SourceRef;
        /// <summary>Offset plus length stays within the granted page.</summary>
        [FieldOffset(4), CField("source.foreign.offset")] public ushort SourceOffset;
        [FieldOffset(6), CField("source.foreign.domid")] public ushort SourceDomid;
        /// <summary>User address, when the destination is local.</summary>
        [FieldOffset(8), CField("dest.virt")] public ulong DestVirt;
        [FieldOffset(8), CField("dest.foreign.ref")] public uint DestRef;
        [FieldOffset(12), CField("dest.foreign.offset")] public ushort DestOffset;
        [FieldOffset(14), CField("dest.foreign.domid")] public ushort DestDomid;
        /// <summary>Bytes.</summary>
        [FieldOffset(16), CField("len")] public ushort Len;
        /// <summary>Which sides are grants; at least one.</summary>
        [FieldOffset(18), CField("flags")] public ushort Flags;
        /// <summary>Out.</summary>
        [FieldOffset(20), CField("status")] public GrantStatus Status;
    }

    /// <summary>A batch of copies.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct ioctl_gntdev_grant_copy", "xen/gntdev.h")]
    public struct GrantCopy
    {
        [FieldOffset(0), CField("count")] public uint Count;
        /// <summary><see cref="GrantCopySegment"/>[Count].</summary>
        [FieldOffset(8), CField("segments")] public ulong Segments;
    }
}
