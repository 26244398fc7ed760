using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>Commands and arguments of memory_op (memory.h). Handles are addresses in the caller.</summary>
[CHeader("xen/memory.h")]
public static class MemoryOp
{
    /// <summary><see cref="Reservation.MemFlags"/>: promise the page, take it later.</summary>
    [CConstant("XENMEMF_populate_on_demand")] public const uint MemoryFlagPopulateOnDemand = 1u << 16;
    /// <summary><see cref="AddToPhysmap.Idx"/>: a status frame of a version-2 table.</summary>
    [CConstant("XENMAPIDX_grant_table_status")] public const uint MapIdxGrantTableStatus = 0x80000000;
    /// <summary><see cref="AcquireResource.Id"/>: the grant entries.</summary>
    [CConstant("XENMEM_resource_grant_table_id_shared")] public const uint GrantTableIdShared = 0;
    /// <summary><see cref="AcquireResource.Id"/>: the status words of version 2.</summary>
    [CConstant("XENMEM_resource_grant_table_id_status")] public const uint GrantTableIdStatus = 1;
    /// <summary><see cref="AcquireResource.Frame"/>: the ring of buffered requests.</summary>
    [CConstant("XENMEM_resource_ioreq_server_frame_bufioreq")] public const uint IoreqServerFrameBufioreq = 0;
    /// <summary><see cref="AcquireResource.Frame"/>: the first page of synchronous requests.</summary>
    [CConstant("XENMEM_resource_ioreq_server_frame_ioreq(0)")] public const uint IoreqServerFrameIoreq = 1;

    /// <summary>What to do.</summary>
    [CHeader("xen/memory.h")]
    public enum Command : uint
    {
        [CConstant("XENMEM_increase_reservation")] IncreaseReservation = 0,
        [CConstant("XENMEM_decrease_reservation")] DecreaseReservation = 1,
        [CConstant("XENMEM_maximum_ram_page")] MaximumRamPage = 2,
        [CConstant("XENMEM_current_reservation")] CurrentReservation = 3,
        [CConstant("XENMEM_maximum_reservation")] MaximumReservation = 4,
        [CConstant("XENMEM_populate_physmap")] PopulatePhysmap = 6,
        [CConstant("XENMEM_add_to_physmap")] AddToPhysmap = 7,
        [CConstant("XENMEM_memory_map")] MemoryMap = 9,
        [CConstant("XENMEM_exchange")] Exchange = 11,
        [CConstant("XENMEM_maximum_gpfn")] MaximumGpfn = 14,
        [CConstant("XENMEM_remove_from_physmap")] RemoveFromPhysmap = 15,
        [CConstant("XENMEM_paging_op")] PagingOp = 20,
        [CConstant("XENMEM_access_op")] AccessOp = 21,
        [CConstant("XENMEM_add_to_physmap_batch")] AddToPhysmapBatch = 23,
        [CConstant("XENMEM_acquire_resource")] AcquireResource = 28,
    }

    /// <summary>What <see cref="AddToPhysmap"/> puts into the physmap.</summary>
    [CHeader("xen/memory.h")]
    public enum MapSpace : uint
    {
        [CConstant("XENMAPSPACE_shared_info")] SharedInfo = 0,
        [CConstant("XENMAPSPACE_grant_table")] GrantTable = 1,
        [CConstant("XENMAPSPACE_gmfn")] Gmfn = 2,
        [CConstant("XENMAPSPACE_gmfn_range")] GmfnRange = 3,
        [CConstant("XENMAPSPACE_gmfn_foreign")] GmfnForeign = 4,
        [CConstant("XENMAPSPACE_dev_mmio")] DevMmio = 5,
    }

    /// <summary>What <see cref="AcquireResource"/> maps.</summary>
    [CHeader("xen/memory.h")]
    public enum ResourceType : ushort
    {
        [CConstant("XENMEM_resource_ioreq_server")] IoreqServer = 0,
        [CConstant("XENMEM_resource_grant_table")] GrantTable = 1,
        [CConstant("XENMEM_resource_vmtrace_buf")] VmtraceBuf = 2,
    }

    /// <summary>What <see cref="Paging"/> does.</summary>
    [CHeader("xen/memory.h")]
    public enum PagingCommand : byte
    {
        [CConstant("XENMEM_paging_op_nominate")] Nominate = 0,
        [CConstant("XENMEM_paging_op_evict")] Evict = 1,
        [CConstant("XENMEM_paging_op_prep")] Prep = 2,
    }

    /// <summary>Rights of the guest on a page, in memory access and altp2m operations.</summary>
    [CHeader("xen/memory.h")]
    public enum Access : byte
    {
        [CConstant("XENMEM_access_n")] N = 0,
        [CConstant("XENMEM_access_r")] R = 1,
        [CConstant("XENMEM_access_w")] W = 2,
        [CConstant("XENMEM_access_rw")] RW = 3,
        [CConstant("XENMEM_access_x")] X = 4,
        [CConstant("XENMEM_access_rx")] RX = 5,
        [CConstant("XENMEM_access_wx")] WX = 6,
        [CConstant("XENMEM_access_rwx")] RWX = 7,
        /// <summary>Execute first, read and write after the first write.</summary>
        [CConstant("XENMEM_access_rx2rw")] RX2RW = 8,
        /// <summary>Everything after the first access.</summary>
        [CConstant("XENMEM_access_n2rwx")] N2RWX = 9,
        [CConstant("XENMEM_access_default")] Default = 10,
    }

    /// <summary>Extents to add to or take from a domain; the result is how many were done.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 32)]
    [CStruct("struct xen_memory_reservation", "xen/memory.h")]
    public struct Reservation
    {
        /// <summary>ulong[NrExtents]: frames.</summary>
        [FieldOffset(0), CField("extent_start")] public ulong ExtentStart;
        [FieldOffset(8), CField("nr_extents")] public ulong NrExtents;
        /// <summary>log2 of the pages per extent.</summary>
        [FieldOffset(16), CField("extent_order")] public uint ExtentOrder;
        [FieldOffset(20), CField("mem_flags")] public uint MemFlags;
        [FieldOffset(24), CField("domid")] public ushort Domid;
    }

    /// <summary>Argument of the reservation and maximum_gpfn queries.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 2)]
    [CStruct("struct xen_memory_domain", "xen/memory.h")]
    public struct Domain
    {
        [FieldOffset(0), CField("domid")] public ushort Domid;
    }

    /// <summary>Puts one page, or a range of gmfns, at a guest frame.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct xen_add_to_physmap", "xen/memory.h")]
    public struct AddToPhysmap
    {
        [FieldOffset(0), CField("domid")] public ushort Domid;
        /// <summary>Pages, for <see cref="MapSpace.GmfnRange"/>.</summary>
        [FieldOffset(2), CField("size")] public ushort Size;
        [FieldOffset(4), CField("space")] public MapSpace Space;
        /// <summary>Index in the source space.</summary>
        [FieldOffset(8), CField("idx")] public ulong Idx;
        /// <summary>Where.</summary>
        [FieldOffset(16), CField("gpfn")] public ulong Gpfn;
    }

    /// <summary>Puts many pages, possibly of another domain.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 32)]
    [CStruct("struct xen_add_to_physmap_batch", "xen/memory.h")]
    public struct AddToPhysmapBatch
    {
        [FieldOffset(0), CField("domid")] public ushort Domid;
        [FieldOffset(2), CField("space")] public ushort Space;
        [FieldOffset(4), CField("size")] public ushort Size;
        [FieldOffset(6), CField("u.foreign_domid")] public ushort ForeignDomid;
        /// <summary>ulong[Size].</summary>
        [FieldOffset(8), CField("idxs")] public ulong Idxs;
        /// <summary>ulong[Size].</summary>
        [FieldOffset(16), CField("gpfns")] public ulong Gpfns;
        /// <summary>int[Size].</summary>
        [FieldOffset(24), CField("errs")] public ulong Errs;
    }

    /// <summary>Takes one page out.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct xen_remove_from_physmap", "xen/memory.h")]
    public struct RemoveFromPhysmap
    {
        [FieldOffset(0), CField("domid")] public ushort Domid;
        [FieldOffset(8), CField("gpfn")] public ulong Gpfn;
    }

    /// <summary>The E820 of the caller.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct xen_memory_map", "xen/memory.h")]
    public struct MemoryMap
    {
        [FieldOffset(0), CField("nr_entries")] public uint NrEntries;
        [FieldOffset(8), CField("buffer")] public ulong Buffer;
    }

    /// <summary>Pages a frame of a guest out or in.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct xen_mem_paging_op", "xen/memory.h")]
    public struct Paging
    {
        [FieldOffset(0), CField("op")] public PagingCommand Op;
        [FieldOffset(2), CField("domain")] public ushort Domain;
        [FieldOffset(8), CField("buffer")] public ulong Buffer;
        [FieldOffset(16), CField("gfn")] public ulong Gfn;
    }

    /// <summary>Names the frames of a resource; no list and NrFrames 0 asks for its size.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 32)]
    [CStruct("struct xen_mem_acquire_resource", "xen/memory.h")]
    public struct AcquireResource
    {
        [FieldOffset(0), CField("domid")] public ushort Domid;
        [FieldOffset(2), CField("type")] public ResourceType Type;
        [FieldOffset(4), CField("id")] public uint Id;
        /// <summary>In and out.</summary>
        [FieldOffset(8), CField("nr_frames")] public uint NrFrames;
        /// <summary>0.</summary>
        [FieldOffset(12), CField("pad")] public uint Pad;
        /// <summary>First frame.</summary>
        [FieldOffset(16), CField("frame")] public ulong Frame;
        /// <summary>ulong[NrFrames].</summary>
        [FieldOffset(24), CField("frame_list")] public ulong FrameList;
    }
}
