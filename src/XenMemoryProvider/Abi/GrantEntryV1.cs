using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>An entry of a version-1 grant table: 512 in a page. Write the domain and the frame, then a barrier, then the flags.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
[CStruct("struct grant_entry_v1", "xen/grant_table.h")]
public struct GrantEntryV1
{
    [FieldOffset(0), CField("flags")] public GrantFlags Flags;
    /// <summary>Who may use it.</summary>
    [FieldOffset(2), CField("domid")] public ushort Domid;
    /// <summary>Which guest frame.</summary>
    [FieldOffset(4), CField("frame")] public uint Frame;
}
