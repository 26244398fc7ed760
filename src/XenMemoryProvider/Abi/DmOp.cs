using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>Operations of a device model on its guest: dm_op (hvm/dm_op.h). Every one is a <see cref="Call"/>; two take a second buffer.</summary>
[CHeader("xen/hvm/dm_op.h")]
public static class DmOp
{
    /// <summary><see cref="GetIoreqServerInfo.Flags"/>: the pages are mapped as a resource.</summary>
    [CConstant("XEN_DMOP_no_gfns")] public const ushort NoGfns = 1;
    /// <summary><see cref="MapMemType.Flags"/>: never accepted.</summary>
    [CConstant("XEN_DMOP_IOREQ_MEM_ACCESS_READ")] public const uint MemAccessRead = 1;
    /// <summary><see cref="MapMemType.Flags"/>.</summary>
    [CConstant("XEN_DMOP_IOREQ_MEM_ACCESS_WRITE")] public const uint MemAccessWrite = 2;

    /// <summary>Bytes of <see cref="Call"/> before its arguments.</summary>
    [NotInC("part of a struct")] public const int HeaderSize = 8;
    /// <summary>The most ioreq servers of one domain.</summary>
    [NotInC("internal to Xen")] public const int MaxIoreqServers = 8;
    /// <summary>The most ranges of one type that a server may hold.</summary>
    [NotInC("internal to Xen")] public const int MaxRanges = 256;
    /// <summary>The most buffers that Xen takes.</summary>
    [NotInC("internal to Xen")] public const int MaxBuffers = 2;

    /// <summary>What to do.</summary>
    [CHeader("xen/hvm/dm_op.h")]
    public enum Command : uint
    {
        [CConstant("XEN_DMOP_create_ioreq_server")] CreateIoreqServer = 1,
        [CConstant("XEN_DMOP_get_ioreq_server_info")] GetIoreqServerInfo = 2,
        [CConstant("XEN_DMOP_map_io_range_to_ioreq_server")] MapIoRangeToIoreqServer = 3,
        [CConstant("XEN_DMOP_unmap_io_range_from_ioreq_server")] UnmapIoRangeFromIoreqServer = 4,
        [CConstant("XEN_DMOP_set_ioreq_server_state")] SetIoreqServerState = 5,
        [CConstant("XEN_DMOP_destroy_ioreq_server")] DestroyIoreqServer = 6,
        /// <summary>Second buffer: a bit per page.</summary>
        [CConstant("XEN_DMOP_track_dirty_vram")] TrackDirtyVram = 7,
        [CConstant("XEN_DMOP_set_pci_intx_level")] SetPciIntxLevel = 8,
        [CConstant("XEN_DMOP_set_isa_irq_level")] SetIsaIrqLevel = 9,
        [CConstant("XEN_DMOP_set_pci_link_route")] SetPciLinkRoute = 10,
        /// <summary>Second buffer: <see cref="ModifiedMemoryExtent"/>s.</summary>
        [CConstant("XEN_DMOP_modified_memory")] ModifiedMemory = 11,
        [CConstant("XEN_DMOP_set_mem_type")] SetMemType = 12,
        [CConstant("XEN_DMOP_inject_event")] InjectEvent = 13,
        [CConstant("XEN_DMOP_inject_msi")] InjectMsi = 14,
        [CConstant("XEN_DMOP_map_mem_type_to_ioreq_server")] MapMemTypeToIoreqServer = 15,
        [CConstant("XEN_DMOP_remote_shutdown")] RemoteShutdown = 16,
        [CConstant("XEN_DMOP_relocate_memory")] RelocateMemory = 17,
        [CConstant("XEN_DMOP_pin_memory_cacheattr")] PinMemoryCacheattr = 18,
        /// <summary>Arm only.</summary>
        [CConstant("XEN_DMOP_set_irq_level")] SetIrqLevel = 19,
        [CConstant("XEN_DMOP_nr_vcpus")] NrVcpus = 20,
    }

    /// <summary><see cref="CreateIoreqServer.HandleBufioreq"/>.</summary>
    [CHeader("xen/hvm/hvm_op.h")]
    public enum BufferedIoreq : byte
    {
        [CConstant("HVM_IOREQSRV_BUFIOREQ_OFF")] Off = 0,
        [CConstant("HVM_IOREQSRV_BUFIOREQ_LEGACY")] Legacy = 1,
        /// <summary>The consumer moves its pointer atomically.</summary>
        [CConstant("HVM_IOREQSRV_BUFIOREQ_ATOMIC")] Atomic = 2,
    }

    /// <summary><see cref="IoreqServerRange.Type"/>.</summary>
    [CHeader("xen/hvm/dm_op.h")]
    public enum IoRangeType : uint
    {
        [CConstant("XEN_DMOP_IO_RANGE_PORT")] Port = 0,
        [CConstant("XEN_DMOP_IO_RANGE_MEMORY")] Memory = 1,
        /// <summary>Start and end are a function's <see cref="PciSbdf"/>.</summary>
        [CConstant("XEN_DMOP_IO_RANGE_PCI")] Pci = 2,
    }

    /// <summary><see cref="InjectEvent.Type"/>.</summary>
    [CHeader("xen/hvm/dm_op.h")]
    public enum EventType : byte
    {
        [CConstant("XEN_DMOP_EVENT_ext_int")] ExtInt = 0,
        [CConstant("XEN_DMOP_EVENT_nmi")] Nmi = 2,
        [CConstant("XEN_DMOP_EVENT_hw_exc")] HwExc = 3,
        [CConstant("XEN_DMOP_EVENT_sw_int")] SwInt = 4,
        [CConstant("XEN_DMOP_EVENT_pri_sw_exc")] PriSwExc = 5,
        [CConstant("XEN_DMOP_EVENT_sw_exc")] SwExc = 6,
    }

    /// <summary><see cref="PinMemoryCacheattr.Type"/>.</summary>
    [CHeader("xen/hvm/dm_op.h")]
    public enum CacheAttribute : uint
    {
        [CConstant("XEN_DMOP_MEM_CACHEATTR_UC")] UC = 0,
        [CConstant("XEN_DMOP_MEM_CACHEATTR_WC")] WC = 1,
        [CConstant("XEN_DMOP_MEM_CACHEATTR_WT")] WT = 4,
        [CConstant("XEN_DMOP_MEM_CACHEATTR_WP")] WP = 5,
        [CConstant("XEN_DMOP_MEM_CACHEATTR_WB")] WB = 6,
        [CConstant("XEN_DMOP_MEM_CACHEATTR_UCM")] UCMinus = 7,
        [CConstant("XEN_DMOP_DELETE_MEM_CACHEATTR")] Delete = 0xffffffff,
    }

    /// <summary>A PCI function as a range of type <see cref="IoRangeType.Pci"/> names it (XEN_DMOP_PCI_SBDF).</summary>
    public static uint PciSbdf(int segment, int bus, int device, int function) =>
        ((uint)segment & 0xffff) << 16 | ((uint)bus & 0xff) << 8 | ((uint)device & 0x1f) << 3 | (uint)function & 7;

    /// <summary>A new ioreq server.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 6)]
    [CStruct("struct xen_dm_op_create_ioreq_server", "xen/hvm/dm_op.h")]
    public struct CreateIoreqServer
    {
        [FieldOffset(0), CField("handle_bufioreq")] public BufferedIoreq HandleBufioreq;
        /// <summary>0.</summary>
        [FieldOffset(1), CField("pad[0]")] public byte Pad0;
        /// <summary>0.</summary>
        [FieldOffset(2), CField("pad[1]")] public byte Pad1;
        /// <summary>0.</summary>
        [FieldOffset(3), CField("pad[2]")] public byte Pad2;
        /// <summary>Out.</summary>
        [FieldOffset(4), CField("id")] public ushort Id;
    }

    /// <summary>Where its pages and its buffered port are.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct xen_dm_op_get_ioreq_server_info", "xen/hvm/dm_op.h")]
    public struct GetIoreqServerInfo
    {
        [FieldOffset(0), CField("id")] public ushort Id;
        [FieldOffset(2), CField("flags")] public ushort Flags;
        /// <summary>Out.</summary>
        [FieldOffset(4), CField("bufioreq_port")] public uint BufioreqPort;
        /// <summary>Out, unless <see cref="NoGfns"/>.</summary>
        [FieldOffset(8), CField("ioreq_gfn")] public ulong IoreqGfn;
        /// <summary>Out, unless <see cref="NoGfns"/>.</summary>
        [FieldOffset(16), CField("bufioreq_gfn")] public ulong BufioreqGfn;
    }

    /// <summary>Claims or gives back a range.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct xen_dm_op_ioreq_server_range", "xen/hvm/dm_op.h")]
    public struct IoreqServerRange
    {
        [FieldOffset(0), CField("id")] public ushort Id;
        /// <summary>0.</summary>
        [FieldOffset(2), CField("pad")] public ushort Pad;
        [FieldOffset(4), CField("type")] public IoRangeType Type;
        [FieldOffset(8), CField("start")] public ulong Start;
        /// <summary>Inclusive.</summary>
        [FieldOffset(16), CField("end")] public ulong End;
    }

    /// <summary>Enables a server: its claims count from then on.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct xen_dm_op_set_ioreq_server_state", "xen/hvm/dm_op.h")]
    public struct SetIoreqServerState
    {
        [FieldOffset(0), CField("id")] public ushort Id;
        [FieldOffset(2), CField("enabled")] public byte Enabled;
        /// <summary>0.</summary>
        [FieldOffset(3), CField("pad")] public byte Pad;
    }

    /// <summary>Ends a server.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct xen_dm_op_destroy_ioreq_server", "xen/hvm/dm_op.h")]
    public struct DestroyIoreqServer
    {
        [FieldOffset(0), CField("id")] public ushort Id;
        /// <summary>0.</summary>
        [FieldOffset(2), CField("pad")] public ushort Pad;
    }

    /// <summary>Which pages of a range were written.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct xen_dm_op_track_dirty_vram", "xen/hvm/dm_op.h")]
    public struct TrackDirtyVram
    {
        [FieldOffset(0), CField("nr")] public uint Nr;
        /// <summary>0.</summary>
        [FieldOffset(4), CField("pad")] public uint Pad;
        [FieldOffset(8), CField("first_pfn")] public ulong FirstPfn;
    }

    /// <summary>A PCI interrupt pin.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 6)]
    [CStruct("struct xen_dm_op_set_pci_intx_level", "xen/hvm/dm_op.h")]
    public struct SetPciIntxLevel
    {
        /// <summary>0.</summary>
        [FieldOffset(0), CField("domain")] public ushort Domain;
        /// <summary>0.</summary>
        [FieldOffset(2), CField("bus")] public byte Bus;
        /// <summary>0..31.</summary>
        [FieldOffset(3), CField("device")] public byte Device;
        /// <summary>0..3.</summary>
        [FieldOffset(4), CField("intx")] public byte Intx;
        /// <summary>0 or 1.</summary>
        [FieldOffset(5), CField("level")] public byte Level;
    }

    /// <summary>An ISA interrupt line.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 2)]
    [CStruct("struct xen_dm_op_set_isa_irq_level", "xen/hvm/dm_op.h")]
    public struct SetIsaIrqLevel
    {
        /// <summary>0..15.</summary>
        [FieldOffset(0), CField("isa_irq")] public byte IsaIrq;
        /// <summary>0 or 1.</summary>
        [FieldOffset(1), CField("level")] public byte Level;
    }

    /// <summary>Where a PCI link goes in PIC mode.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 2)]
    [CStruct("struct xen_dm_op_set_pci_link_route", "xen/hvm/dm_op.h")]
    public struct SetPciLinkRoute
    {
        /// <summary>0..3.</summary>
        [FieldOffset(0), CField("link")] public byte Link;
        /// <summary>0 for none.</summary>
        [FieldOffset(1), CField("isa_irq")] public byte IsaIrq;
    }

    /// <summary>Tells the dirty log what the device model wrote.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 8)]
    [CStruct("struct xen_dm_op_modified_memory", "xen/hvm/dm_op.h")]
    public struct ModifiedMemory
    {
        [FieldOffset(0), CField("nr_extents")] public uint NrExtents;
        /// <summary>0.</summary>
        [FieldOffset(4), CField("opaque")] public uint Opaque;
    }

    /// <summary>Frames that were written.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct xen_dm_op_modified_memory_extent", "xen/hvm/dm_op.h")]
    public struct ModifiedMemoryExtent
    {
        [FieldOffset(0), CField("nr")] public uint Nr;
        /// <summary>0.</summary>
        [FieldOffset(4), CField("pad")] public uint Pad;
        [FieldOffset(8), CField("first_pfn")] public ulong FirstPfn;
    }

    /// <summary>The type of frames.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct xen_dm_op_set_mem_type", "xen/hvm/dm_op.h")]
    public struct SetMemType
    {
        [FieldOffset(0), CField("nr")] public uint Nr;
        [FieldOffset(4), CField("mem_type")] public HvmOp.MemType MemType;
        /// <summary>0.</summary>
        [FieldOffset(6), CField("pad")] public ushort Pad;
        [FieldOffset(8), CField("first_pfn")] public ulong FirstPfn;
    }

    /// <summary>An interrupt or exception for a virtual CPU.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct xen_dm_op_inject_event", "xen/hvm/dm_op.h")]
    public struct InjectEvent
    {
        [FieldOffset(0), CField("vcpuid")] public uint VcpuId;
        [FieldOffset(4), CField("vector")] public byte Vector;
        [FieldOffset(5), CField("type")] public EventType Type;
        [FieldOffset(6), CField("insn_len")] public byte InsnLen;
        /// <summary>0.</summary>
        [FieldOffset(7), CField("pad0")] public byte Pad0;
        /// <summary>~0 for none.</summary>
        [FieldOffset(8), CField("error_code")] public uint ErrorCode;
        /// <summary>0.</summary>
        [FieldOffset(12), CField("pad1")] public uint Pad1;
        /// <summary>For a page fault.</summary>
        [FieldOffset(16), CField("cr2")] public ulong Cr2;
    }

    /// <summary>A message-signalled interrupt.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct xen_dm_op_inject_msi", "xen/hvm/dm_op.h")]
    public struct InjectMsi
    {
        [FieldOffset(0), CField("data")] public uint Data;
        /// <summary>0.</summary>
        [FieldOffset(4), CField("pad")] public uint Pad;
        /// <summary>All 64 bits matter.</summary>
        [FieldOffset(8), CField("addr")] public ulong Addr;
    }

    /// <summary>Claims accesses to frames of a type.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct xen_dm_op_map_mem_type_to_ioreq_server", "xen/hvm/dm_op.h")]
    public struct MapMemType
    {
        [FieldOffset(0), CField("id")] public ushort Id;
        /// <summary><see cref="HvmOp.MemType.IoreqServer"/>.</summary>
        [FieldOffset(2), CField("type")] public HvmOp.MemType Type;
        [FieldOffset(4), CField("flags")] public uint Flags;
        /// <summary>0.</summary>
        [FieldOffset(8), CField("opaque")] public ulong Opaque;
    }

    /// <summary>Stops the guest.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct xen_dm_op_remote_shutdown", "xen/hvm/dm_op.h")]
    public struct RemoteShutdown
    {
        [FieldOffset(0), CField("reason")] public ShutdownReason Reason;
    }

    /// <summary>Moves frames.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct xen_dm_op_relocate_memory", "xen/hvm/dm_op.h")]
    public struct RelocateMemory
    {
        /// <summary>Frames.</summary>
        [FieldOffset(0), CField("size")] public uint Size;
        /// <summary>0.</summary>
        [FieldOffset(4), CField("pad")] public uint Pad;
        [FieldOffset(8), CField("src_gfn")] public ulong SrcGfn;
        [FieldOffset(16), CField("dst_gfn")] public ulong DstGfn;
    }

    /// <summary>Caching of frames.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct xen_dm_op_pin_memory_cacheattr", "xen/hvm/dm_op.h")]
    public struct PinMemoryCacheattr
    {
        [FieldOffset(0), CField("start")] public ulong Start;
        [FieldOffset(8), CField("end")] public ulong End;
        [FieldOffset(16), CField("type")] public CacheAttribute Type;
        /// <summary>0.</summary>
        [FieldOffset(20), CField("pad")] public uint Pad;
    }

    /// <summary>A shared peripheral interrupt (Arm).</summary>
    [StructLayout(LayoutKind.Explicit, Size = 8)]
    [CStruct("struct xen_dm_op_set_irq_level", "xen/hvm/dm_op.h")]
    public struct SetIrqLevel
    {
        [FieldOffset(0), CField("irq")] public uint Irq;
        /// <summary>0 or 1.</summary>
        [FieldOffset(4), CField("level")] public byte Level;
        /// <summary>0.</summary>
        [FieldOffset(5), CField("pad[0]")] public byte Pad0;
        /// <summary>0.</summary>
        [FieldOffset(6), CField("pad[1]")] public byte Pad1;
        /// <summary>0.</summary>
        [FieldOffset(7), CField("pad[2]")] public byte Pad2;
    }

    /// <summary>How many virtual CPUs the guest has at most.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct xen_dm_op_nr_vcpus", "xen/hvm/dm_op.h")]
    public struct NrVcpus
    {
        /// <summary>Out.</summary>
        [FieldOffset(0), CField("vcpus")] public uint Vcpus;
    }

    /// <summary>A buffer of the hypercall.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct xen_dm_op_buf", "xen/hvm/dm_op.h")]
    public struct Buffer
    {
        [FieldOffset(0), CField("h")] public ulong Handle;
        [FieldOffset(8), CField("size")] public ulong Size;
    }

    /// <summary>The first buffer of every operation.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 32)]
    [CStruct("struct xen_dm_op", "xen/hvm/dm_op.h")]
    public struct Call
    {
        [FieldOffset(0), CField("op")] public Command Op;
        /// <summary>0.</summary>
        [FieldOffset(4), CField("pad")] public uint Pad;
        [FieldOffset(8), CField("u.create_ioreq_server")] public CreateIoreqServer CreateIoreqServer;
        [FieldOffset(8), CField("u.get_ioreq_server_info")] public GetIoreqServerInfo GetIoreqServerInfo;
        [FieldOffset(8), CField("u.map_io_range_to_ioreq_server")] public IoreqServerRange MapIoRange;
        [FieldOffset(8), CField("u.unmap_io_range_from_ioreq_server")] public IoreqServerRange UnmapIoRange;
        [FieldOffset(8), CField("u.set_ioreq_server_state")] public SetIoreqServerState SetIoreqServerState;
        [FieldOffset(8), CField("u.destroy_ioreq_server")] public DestroyIoreqServer DestroyIoreqServer;
        [FieldOffset(8), CField("u.track_dirty_vram")] public TrackDirtyVram TrackDirtyVram;
        [FieldOffset(8), CField("u.set_pci_intx_level")] public SetPciIntxLevel SetPciIntxLevel;
        [FieldOffset(8), CField("u.set_isa_irq_level")] public SetIsaIrqLevel SetIsaIrqLevel;
        [FieldOffset(8), CField("u.set_pci_link_route")] public SetPciLinkRoute SetPciLinkRoute;
        [FieldOffset(8), CField("u.modified_memory")] public ModifiedMemory ModifiedMemory;
        [FieldOffset(8), CField("u.set_mem_type")] public SetMemType SetMemType;
        [FieldOffset(8), CField("u.inject_event")] public InjectEvent InjectEvent;
        [FieldOffset(8), CField("u.inject_msi")] public InjectMsi InjectMsi;
        [FieldOffset(8), CField("u.map_mem_type_to_ioreq_server")] public MapMemType MapMemType;
        [FieldOffset(8), CField("u.remote_shutdown")] public RemoteShutdown RemoteShutdown;
        [FieldOffset(8), CField("u.relocate_memory")] public RelocateMemory RelocateMemory;
        [FieldOffset(8), CField("u.pin_memory_cacheattr")] public PinMemoryCacheattr PinMemoryCacheattr;
        [FieldOffset(8), CField("u.set_irq_level")] public SetIrqLevel SetIrqLevel;
        [FieldOffset(8), CField("u.nr_vcpus")] public NrVcpus NrVcpus;
    }
}
