using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>ioctls and arguments of /dev/xen/privcmd (xen/privcmd.h). Pointers are user addresses.</summary>
[CHeader("xen/privcmd.h")]
public static class Privcmd
{
    [CConstant("IOCTL_PRIVCMD_HYPERCALL")] public const uint IoctlHypercall = 0x00305000;
    [CConstant("IOCTL_PRIVCMD_MMAP")] public const uint IoctlMmap = 0x00105002;
    [CConstant("IOCTL_PRIVCMD_MMAPBATCH")] public const uint IoctlMmapBatch = 0x00185003;
    [CConstant("IOCTL_PRIVCMD_MMAPBATCH_V2")] public const uint IoctlMmapBatchV2 = 0x00205004;
    [CConstant("IOCTL_PRIVCMD_DM_OP")] public const uint IoctlDmOp = 0x00105005;
    /// <summary>The argument is a bare domain id (u16).</summary>
    [CConstant("IOCTL_PRIVCMD_RESTRICT")] public const uint IoctlRestrict = 0x00025006;
    [CConstant("IOCTL_PRIVCMD_MMAP_RESOURCE")] public const uint IoctlMmapResource = 0x00205007;

    /// <summary>Linux 6.6.</summary>
    [NotInC("newer than the headers of Debian 12")] public const uint IoctlIrqfd = 0x40185008;
    /// <summary>Linux 6.7.</summary>
    [NotInC("newer than the headers of Debian 12")] public const uint IoctlIoeventfd = 0x40305009;

    /// <summary>ORed by MMAPBATCH (version 1) into a frame that failed.</summary>
    [CConstant("PRIVCMD_MMAPBATCH_MFN_ERROR")] public const uint MmapBatchMfnError = 0xf0000000;
    /// <summary>ORed by MMAPBATCH (version 1) into a frame that is paged out.</summary>
    [CConstant("PRIVCMD_MMAPBATCH_PAGED_ERROR")] public const uint MmapBatchPagedError = 0x80000000;

    /// <summary>The most buffers of one DM_OP that the driver takes by default; Xen takes two.</summary>
    [NotInC("module parameter")] public const int DmOpMaxBuffers = 16;
    /// <summary>The largest buffer of DM_OP that the driver takes by default, in bytes.</summary>
    [NotInC("module parameter")] public const int DmOpMaxBufferSize = 4096;

    /// <summary>A hypercall with its five arguments.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 48)]
    [CStruct("struct privcmd_hypercall", "xen/privcmd.h")]
    public struct Hypercall
    {
        /// <summary>A <see cref="Abi.Hypercall"/>.</summary>
        [FieldOffset(0), CField("op")] public ulong Op;
        [FieldOffset(8), CField("arg[0]")] public ulong Arg0;
        [FieldOffset(16), CField("arg[1]")] public ulong Arg1;
        [FieldOffset(24), CField("arg[2]")] public ulong Arg2;
        [FieldOffset(32), CField("arg[3]")] public ulong Arg3;
        [FieldOffset(40), CField("arg[4]")] public ulong Arg4;
    }

    /// <summary>Maps frames of a domain over a VMA of privcmd, with an error per page.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 32)]
    [CStruct("struct privcmd_mmapbatch_v2", "xen/privcmd.h")]
    public struct MmapBatchV2
    {
        /// <summary>Pages to map.</summary>
        [FieldOffset(0), CField("num")] public uint Num;
        /// <summary>Whose frames.</summary>
        [FieldOffset(4), CField("dom")] public ushort Dom;
        /// <summary>Where; the first call must name the whole VMA.</summary>
        [FieldOffset(8), CField("addr")] public ulong Addr;
        /// <summary>ulong[Num]: guest frame numbers.</summary>
        [FieldOffset(16), CField("arr")] public ulong Arr;
        /// <summary>int[Num]: 0 or a negative errno per page, whatever the ioctl returns.</summary>
        [FieldOffset(24), CField("err")] public ulong Err;
    }

    /// <summary>One buffer of a DM_OP: writable memory.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct privcmd_dm_op_buf", "xen/privcmd.h")]
    public struct DmOpBuffer
    {
        [FieldOffset(0), CField("uptr")] public ulong Uptr;
        [FieldOffset(8), CField("size")] public ulong Size;
    }

    /// <summary>A device-model operation on a domain.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct privcmd_dm_op", "xen/privcmd.h")]
    public struct DmOpCall
    {
        [FieldOffset(0), CField("dom")] public ushort Dom;
        /// <summary>Buffers.</summary>
        [FieldOffset(2), CField("num")] public ushort Num;
        /// <summary><see cref="DmOpBuffer"/>[Num].</summary>
        [FieldOffset(8), CField("ubufs")] public ulong Ubufs;
    }

    /// <summary>Maps a resource of a domain (XENMEM_acquire_resource); Num and Addr both 0 asks for its size.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 32)]
    [CStruct("struct privcmd_mmap_resource", "xen/privcmd.h")]
    public struct MmapResource
    {
        [FieldOffset(0), CField("dom")] public ushort Dom;
        /// <summary>A <see cref="MemoryOp.ResourceType"/>.</summary>
        [FieldOffset(4), CField("type")] public uint Type;
        /// <summary>Which one of that type, such as the ioreq server's id.</summary>
        [FieldOffset(8), CField("id")] public uint Id;
        /// <summary>First frame.</summary>
        [FieldOffset(12), CField("idx")] public uint Idx;
        /// <summary>Frames; written by the size query.</summary>
        [FieldOffset(16), CField("num")] public ulong Num;
        [FieldOffset(24), CField("addr")] public ulong Addr;
    }

    /// <summary>Lets the kernel issue a DM_OP each time an eventfd is signalled (Linux 6.6).</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [NotInC("newer than the headers of Debian 12")]
    public struct Irqfd
    {
        /// <summary>User address of a <see cref="Abi.DmOp.Call"/>, copied once.</summary>
        [FieldOffset(0)] public ulong DmOp;
        /// <summary>Its size in bytes.</summary>
        [FieldOffset(8)] public uint Size;
        /// <summary>The eventfd.</summary>
        [FieldOffset(12)] public uint Fd;
        /// <summary>1 undoes it.</summary>
        [FieldOffset(16)] public uint Flags;
        [FieldOffset(20)] public ushort Dom;
    }

    /// <summary>Lets the kernel answer virtio-mmio queue notifications and signal an eventfd (Linux 6.7).</summary>
    [StructLayout(LayoutKind.Explicit, Size = 48)]
    [NotInC("newer than the headers of Debian 12")]
    public struct Ioeventfd
    {
        /// <summary>User address of the mapped ioreq page.</summary>
        [FieldOffset(0)] public ulong Ioreq;
        /// <summary>User address of uint[Vcpus]: the ports of the virtual CPUs.</summary>
        [FieldOffset(8)] public ulong Ports;
        /// <summary>Guest address of the device's registers.</summary>
        [FieldOffset(16)] public ulong Addr;
        /// <summary>Width of the access: 1, 2, 4 or 8.</summary>
        [FieldOffset(24)] public uint AddrLen;
        [FieldOffset(28)] public uint EventFd;
        /// <summary>1 to 4096.</summary>
        [FieldOffset(32)] public uint Vcpus;
        /// <summary>The queue.</summary>
        [FieldOffset(36)] public uint Vq;
        /// <summary>1 undoes it.</summary>
        [FieldOffset(40)] public uint Flags;
        [FieldOffset(44)] public ushort Dom;
    }
}
