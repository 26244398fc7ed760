using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>An entry of a version-2 grant table: 256 in a page. The reading and writing bits live in a status array of their own (ushort, 2048 in a page).</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
[CStruct("union grant_entry_v2", "xen/grant_table.h")]
public struct GrantEntryV2
{
    [FieldOffset(0), CField("hdr.flags")] public GrantFlags Flags;
    /// <summary>Who may use it.</summary>
    [FieldOffset(2), CField("hdr.domid")] public ushort Domid;
    /// <summary>Which guest frame (full page).</summary>
    [FieldOffset(8), CField("full_page.frame")] public ulong Frame;
    /// <summary>Sub-page: the first byte.</summary>
    [FieldOffset(4), CField("sub_page.page_off")] public ushort PageOffset;
    /// <summary>Sub-page: bytes.</summary>
    [FieldOffset(6), CField("sub_page.length")] public ushort Length;
    /// <summary>Sub-page: which guest frame.</summary>
    [FieldOffset(8), CField("sub_page.frame")] public ulong SubPageFrame;
    /// <summary>Transitive: whose grant.</summary>
    [FieldOffset(4), CField("transitive.trans_domid")] public ushort TransitiveDomid;
    /// <summary>Transitive: which of that domain's grants.</summary>
    [FieldOffset(8), CField("transitive.gref")] public uint TransitiveGref;
}
