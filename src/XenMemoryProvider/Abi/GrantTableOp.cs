using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>Commands and arguments of grant_table_op (grant_table.h). Handles are addresses in the caller.</summary>
[CHeader("xen/grant_table.h")]
public static class GrantTableOp
{
    /// <summary>The reference of the console ring.</summary>
    [CConstant("GNTTAB_RESERVED_CONSOLE")] public const uint ReservedConsole = 0;
    /// <summary>The reference of the xenstore ring.</summary>
    [CConstant("GNTTAB_RESERVED_XENSTORE")] public const uint ReservedXenstore = 1;
    /// <summary>References below this are the toolstack's.</summary>
    [CConstant("GNTTAB_NR_RESERVED_ENTRIES")] public const uint ReservedEntries = 8;

    /// <summary><see cref="MapGrantRef.Flags"/>: for a device.</summary>
    [CConstant("GNTMAP_device_map")] public const uint MapDevice = 1;
    /// <summary><see cref="MapGrantRef.Flags"/>: into the caller.</summary>
    [CConstant("GNTMAP_host_map")] public const uint MapHost = 2;
    /// <summary><see cref="MapGrantRef.Flags"/>: not for writing.</summary>
    [CConstant("GNTMAP_readonly")] public const uint MapReadOnly = 4;
    /// <summary><see cref="MapGrantRef.Flags"/>: PV only.</summary>
    [CConstant("GNTMAP_application_map")] public const uint MapApplication = 8;
    /// <summary><see cref="MapGrantRef.Flags"/>: PV only.</summary>
    [CConstant("GNTMAP_contains_pte")] public const uint MapContainsPte = 16;

    /// <summary><see cref="Copy.Flags"/>: the source is a grant.</summary>
    [CConstant("GNTCOPY_source_gref")] public const ushort CopySourceGref = 1;
    /// <summary><see cref="Copy.Flags"/>: the destination is a grant.</summary>
    [CConstant("GNTCOPY_dest_gref")] public const ushort CopyDestGref = 2;

    [CConstant("GNTTAB_CACHE_CLEAN")] public const uint CacheClean = 1;
    [CConstant("GNTTAB_CACHE_INVAL")] public const uint CacheInval = 2;
    [CConstant("GNTTAB_CACHE_SOURCE_GREF")] public const uint CacheSourceGref = 0x80000000;

    /// <summary>Entries in a page of a version-1 table.</summary>
    [NotInC("follows from the entry size")] public const int EntriesPerPageV1 = 512;
    /// <summary>Entries in a page of a version-2 table.</summary>
    [NotInC("follows from the entry size")] public const int EntriesPerPageV2 = 256;
    /// <summary>Status words in a page of a version-2 table.</summary>
    [NotInC("follows from the entry size")] public const int StatusesPerPage = 2048;
    /// <summary>Frames of a grant table by default (gnttab_max_frames).</summary>
    [NotInC("command-line default")] public const int DefaultMaxFrames = 64;
    /// <summary>Frames of mappings a domain may hold by default (gnttab_max_maptrack_frames).</summary>
    [NotInC("command-line default")] public const int DefaultMaxMaptrackFrames = 1024;

    /// <summary>What to do, for an array of arguments.</summary>
    [CHeader("xen/grant_table.h")]
    public enum Command : uint
    {
        [CConstant("GNTTABOP_map_grant_ref")] MapGrantRef = 0,
        [CConstant("GNTTABOP_unmap_grant_ref")] UnmapGrantRef = 1,
        [CConstant("GNTTABOP_setup_table")] SetupTable = 2,
        [CConstant("GNTTABOP_dump_table")] DumpTable = 3,
        [CConstant("GNTTABOP_transfer")] Transfer = 4,
        [CConstant("GNTTABOP_copy")] Copy = 5,
        [CConstant("GNTTABOP_query_size")] QuerySize = 6,
        [CConstant("GNTTABOP_unmap_and_replace")] UnmapAndReplace = 7,
        [CConstant("GNTTABOP_set_version")] SetVersion = 8,
        [CConstant("GNTTABOP_get_status_frames")] GetStatusFrames = 9,
        [CConstant("GNTTABOP_get_version")] GetVersion = 10,
        [CConstant("GNTTABOP_swap_grant_ref")] SwapGrantRef = 11,
        [CConstant("GNTTABOP_cache_flush")] CacheFlush = 12,
    }

    /// <summary>Maps one grant.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 32)]
    [CStruct("struct gnttab_map_grant_ref", "xen/grant_table.h")]
    public struct MapGrantRef
    {
        [FieldOffset(0), CField("host_addr")] public ulong HostAddr;
        [FieldOffset(8), CField("flags")] public uint Flags;
        [FieldOffset(12), CField("ref")] public uint Ref;
        /// <summary>The granter.</summary>
        [FieldOffset(16), CField("dom")] public ushort Dom;
        /// <summary>Out.</summary>
        [FieldOffset(18), CField("status")] public GrantStatus Status;
        /// <summary>Out: names the mapping for unmap.</summary>
        [FieldOffset(20), CField("handle")] public uint Handle;
        /// <summary>Out.</summary>
        [FieldOffset(24), CField("dev_bus_addr")] public ulong DevBusAddr;
    }

    /// <summary>Undoes one mapping.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct gnttab_unmap_grant_ref", "xen/grant_table.h")]
    public struct UnmapGrantRef
    {
        [FieldOffset(0), CField("host_addr")] public ulong HostAddr;
        [FieldOffset(8), CField("dev_bus_addr")] public ulong DevBusAddr;
        [FieldOffset(16), CField("handle")] public uint Handle;
        /// <summary>Out.</summary>
        [FieldOffset(20), CField("status")] public GrantStatus Status;
    }

    /// <summary>Grows the table and names its frames.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct gnttab_setup_table", "xen/grant_table.h")]
    public struct SetupTable
    {
        [FieldOffset(0), CField("dom")] public ushort Dom;
        [FieldOffset(4), CField("nr_frames")] public uint NrFrames;
        /// <summary>Out.</summary>
        [FieldOffset(8), CField("status")] public GrantStatus Status;
        /// <summary>ulong[NrFrames].</summary>
        [FieldOffset(16), CField("frame_list")] public ulong FrameList;
    }

    /// <summary>Writes a table to Xen's log.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct gnttab_dump_table", "xen/grant_table.h")]
    public struct DumpTable
    {
        [FieldOffset(0), CField("dom")] public ushort Dom;
        /// <summary>Out.</summary>
        [FieldOffset(2), CField("status")] public GrantStatus Status;
    }

    /// <summary>Gives a frame away (PV only).</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct gnttab_transfer", "xen/grant_table.h")]
    public struct Transfer
    {
        [FieldOffset(0), CField("mfn")] public ulong Mfn;
        [FieldOffset(8), CField("domid")] public ushort Domid;
        [FieldOffset(12), CField("ref")] public uint Ref;
        /// <summary>Out.</summary>
        [FieldOffset(16), CField("status")] public GrantStatus Status;
    }

    /// <summary>One side of a copy.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct gnttab_copy_ptr", "xen/grant_table.h")]
    public struct CopyPointer
    {
        /// <summary>A grant of <see cref="Domid"/>.</summary>
        [FieldOffset(0), CField("u.ref")] public uint Ref;
        /// <summary>Or a frame.</summary>
        [FieldOffset(0), CField("u.gmfn")] public ulong Gmfn;
        [FieldOffset(8), CField("domid")] public ushort Domid;
        /// <summary>In the page.</summary>
        [FieldOffset(10), CField("offset")] public ushort Offset;
    }

    /// <summary>Copies within two pages.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 40)]
    [CStruct("struct gnttab_copy", "xen/grant_table.h")]
    public struct Copy
    {
        [FieldOffset(0), CField("source")] public CopyPointer Source;
        [FieldOffset(16), CField("dest")] public CopyPointer Dest;
        /// <summary>Bytes.</summary>
        [FieldOffset(32), CField("len")] public ushort Len;
        /// <summary>Which sides are grants.</summary>
        [FieldOffset(34), CField("flags")] public ushort Flags;
        /// <summary>Out.</summary>
        [FieldOffset(36), CField("status")] public GrantStatus Status;
    }

    /// <summary>The size of a table, in frames.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct gnttab_query_size", "xen/grant_table.h")]
    public struct QuerySize
    {
        [FieldOffset(0), CField("dom")] public ushort Dom;
        /// <summary>Out.</summary>
        [FieldOffset(4), CField("nr_frames")] public uint NrFrames;
        /// <summary>Out.</summary>
        [FieldOffset(8), CField("max_nr_frames")] public uint MaxNrFrames;
        /// <summary>Out.</summary>
        [FieldOffset(12), CField("status")] public GrantStatus Status;
    }

    /// <summary>Unmaps and moves another page's mapping there (PV only).</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct gnttab_unmap_and_replace", "xen/grant_table.h")]
    public struct UnmapAndReplace
    {
        [FieldOffset(0), CField("host_addr")] public ulong HostAddr;
        [FieldOffset(8), CField("new_addr")] public ulong NewAddr;
        [FieldOffset(16), CField("handle")] public uint Handle;
        /// <summary>Out.</summary>
        [FieldOffset(20), CField("status")] public GrantStatus Status;
    }

    /// <summary>Chooses the format of the caller's table.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct gnttab_set_version", "xen/grant_table.h")]
    public struct SetVersion
    {
        /// <summary>In and out: 1 or 2.</summary>
        [FieldOffset(0), CField("version")] public uint Version;
    }

    /// <summary>Names the frames of the status words (version 2).</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct gnttab_get_status_frames", "xen/grant_table.h")]
    public struct GetStatusFrames
    {
        [FieldOffset(0), CField("nr_frames")] public uint NrFrames;
        [FieldOffset(4), CField("dom")] public ushort Dom;
        /// <summary>Out.</summary>
        [FieldOffset(6), CField("status")] public GrantStatus Status;
        /// <summary>ulong[NrFrames].</summary>
        [FieldOffset(8), CField("frame_list")] public ulong FrameList;
    }

    /// <summary>The format of a domain's table.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 8)]
    [CStruct("struct gnttab_get_version", "xen/grant_table.h")]
    public struct GetVersion
    {
        [FieldOffset(0), CField("dom")] public ushort Dom;
        [FieldOffset(2), CField("pad")] public ushort Pad;
        /// <summary>Out.</summary>
        [FieldOffset(4), CField("version")] public uint Version;
    }

    /// <summary>Exchanges two entries.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 12)]
    [CStruct("struct gnttab_swap_grant_ref", "xen/grant_table.h")]
    public struct SwapGrantRef
    {
        [FieldOffset(0), CField("ref_a")] public uint RefA;
        [FieldOffset(4), CField("ref_b")] public uint RefB;
        /// <summary>Out.</summary>
        [FieldOffset(8), CField("status")] public GrantStatus Status;
    }

    /// <summary>Cleans caches over a granted page (Arm).</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct gnttab_cache_flush", "xen/grant_table.h")]
    public struct CacheFlush
    {
        [FieldOffset(0), CField("a.dev_bus_addr")] public ulong DevBusAddr;
        [FieldOffset(0), CField("a.ref")] public uint Ref;
        [FieldOffset(8), CField("offset")] public ushort Offset;
        [FieldOffset(10), CField("length")] public ushort Length;
        [FieldOffset(12), CField("op")] public uint Op;
    }
}
