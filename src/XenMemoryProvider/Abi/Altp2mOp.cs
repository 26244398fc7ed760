using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>HVMOP_altp2m: several views of one guest's memory (hvm/hvm_op.h).</summary>
[CHeader("xen/hvm/hvm_op.h")]
public static class Altp2mOp
{
    /// <summary><see cref="Call.Version"/>: nothing else is accepted.</summary>
    [CConstant("HVMOP_ALTP2M_INTERFACE_VERSION")] public const uint InterfaceVersion = 1;

    /// <summary>Views of a domain before Xen 4.21 (MAX_ALTP2M).</summary>
    [NotInC("internal to Xen")] public const int MaxViews = 10;
    /// <summary>Entries of an EPTP list (MAX_EPTP).</summary>
    [NotInC("internal to Xen")] public const int MaxEptp = 512;
    /// <summary>No view (INVALID_ALTP2M).</summary>
    [NotInC("internal to Xen")] public const ushort InvalidView = 0xffff;
    /// <summary>No frame: the default access, or a removed change.</summary>
    [NotInC("internal to Xen")] public const ulong InvalidGfn = ulong.MaxValue;

    /// <summary>What to do.</summary>
    [CHeader("xen/hvm/hvm_op.h")]
    public enum Command : uint
    {
        [CConstant("HVMOP_altp2m_get_domain_state")] GetDomainState = 1,
        [CConstant("HVMOP_altp2m_set_domain_state")] SetDomainState = 2,
        [CConstant("HVMOP_altp2m_vcpu_enable_notify")] VcpuEnableNotify = 3,
        [CConstant("HVMOP_altp2m_create_p2m")] CreateP2m = 4,
        [CConstant("HVMOP_altp2m_destroy_p2m")] DestroyP2m = 5,
        [CConstant("HVMOP_altp2m_switch_p2m")] SwitchP2m = 6,
        [CConstant("HVMOP_altp2m_set_mem_access")] SetMemAccess = 7,
        [CConstant("HVMOP_altp2m_change_gfn")] ChangeGfn = 8,
        [CConstant("HVMOP_altp2m_set_mem_access_multi")] SetMemAccessMulti = 9,
        [CConstant("HVMOP_altp2m_set_suppress_ve")] SetSuppressVe = 10,
        [CConstant("HVMOP_altp2m_get_suppress_ve")] GetSuppressVe = 11,
        [CConstant("HVMOP_altp2m_get_mem_access")] GetMemAccess = 12,
        [CConstant("HVMOP_altp2m_vcpu_disable_notify")] VcpuDisableNotify = 13,
        [CConstant("HVMOP_altp2m_get_p2m_idx")] GetP2mIdx = 14,
        [CConstant("HVMOP_altp2m_set_suppress_ve_multi")] SetSuppressVeMulti = 15,
        [CConstant("HVMOP_altp2m_set_visibility")] SetVisibility = 16,
    }

    /// <summary>The value of <see cref="HvmParam.Altp2m"/>: who may call.</summary>
    [CHeader("xen/hvm/params.h")]
    public enum Mode : ulong
    {
        [CConstant("XEN_ALTP2M_disabled")] Disabled = 0,
        /// <summary>The guest too.</summary>
        [CConstant("XEN_ALTP2M_mixed")] Mixed = 1,
        /// <summary>Only those with power over the domain.</summary>
        [CConstant("XEN_ALTP2M_external")] External = 2,
        /// <summary>The guest may only enable its notification.</summary>
        [CConstant("XEN_ALTP2M_limited")] Limited = 3,
    }

    /// <summary>Is altp2m on?</summary>
    [StructLayout(LayoutKind.Explicit, Size = 1)]
    [CStruct("struct xen_hvm_altp2m_domain_state", "xen/hvm/hvm_op.h")]
    public struct DomainState
    {
        [FieldOffset(0), CField("state")] public byte State;
    }

    /// <summary>Where a virtual CPU gets its #VE information.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct xen_hvm_altp2m_vcpu_enable_notify", "xen/hvm/hvm_op.h")]
    public struct VcpuEnableNotify
    {
        [FieldOffset(0), CField("vcpu_id")] public uint VcpuId;
        [FieldOffset(4), CField("pad")] public uint Pad;
        [FieldOffset(8), CField("gfn")] public ulong Gfn;
    }

    /// <summary>Ends #VE for a virtual CPU.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct xen_hvm_altp2m_vcpu_disable_notify", "xen/hvm/hvm_op.h")]
    public struct VcpuDisableNotify
    {
        [FieldOffset(0), CField("vcpu_id")] public uint VcpuId;
    }

    /// <summary>Creates, destroys or switches to a view.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct xen_hvm_altp2m_view", "xen/hvm/hvm_op.h")]
    public struct View
    {
        /// <summary>Out for create.</summary>
        [FieldOffset(0), CField("view")] public ushort Index;
        /// <summary>A <see cref="MemoryOp.Access"/>.</summary>
        [FieldOffset(2), CField("hvmmem_default_access")] public ushort DefaultAccess;
    }

    /// <summary>Rights on a frame in a view.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct xen_hvm_altp2m_mem_access", "xen/hvm/hvm_op.h")]
    public struct MemAccess
    {
        [FieldOffset(0), CField("view")] public ushort View;
        /// <summary>A <see cref="MemoryOp.Access"/>.</summary>
        [FieldOffset(2), CField("access")] public ushort Access;
        [FieldOffset(4), CField("pad")] public uint Pad;
        /// <summary><see cref="InvalidGfn"/>: the view's default.</summary>
        [FieldOffset(8), CField("gfn")] public ulong Gfn;
    }

    /// <summary>Rights on many frames.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 32)]
    [CStruct("struct xen_hvm_altp2m_set_mem_access_multi", "xen/hvm/hvm_op.h")]
    public struct SetMemAccessMulti
    {
        [FieldOffset(0), CField("view")] public ushort View;
        [FieldOffset(2), CField("pad")] public ushort Pad;
        [FieldOffset(4), CField("nr")] public uint Nr;
        /// <summary>0; Xen's own progress.</summary>
        [FieldOffset(8), CField("opaque")] public ulong Opaque;
        /// <summary>ulong[Nr].</summary>
        [FieldOffset(16), CField("pfn_list")] public ulong PfnList;
        /// <summary>byte[Nr].</summary>
        [FieldOffset(24), CField("access_list")] public ulong AccessList;
    }

    /// <summary>Shows another frame in a frame's place.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct xen_hvm_altp2m_change_gfn", "xen/hvm/hvm_op.h")]
    public struct ChangeGfn
    {
        [FieldOffset(0), CField("view")] public ushort View;
        [FieldOffset(2), CField("pad1")] public ushort Pad1;
        [FieldOffset(4), CField("pad2")] public uint Pad2;
        [FieldOffset(8), CField("old_gfn")] public ulong OldGfn;
        /// <summary><see cref="InvalidGfn"/>: undo.</summary>
        [FieldOffset(16), CField("new_gfn")] public ulong NewGfn;
    }

    /// <summary>No #VE for a frame.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct xen_hvm_altp2m_suppress_ve", "xen/hvm/hvm_op.h")]
    public struct SuppressVe
    {
        [FieldOffset(0), CField("view")] public ushort View;
        [FieldOffset(2), CField("suppress_ve")] public byte Suppress;
        [FieldOffset(3), CField("pad1")] public byte Pad1;
        [FieldOffset(4), CField("pad2")] public uint Pad2;
        [FieldOffset(8), CField("gfn")] public ulong Gfn;
    }

    /// <summary>No #VE for a range.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 32)]
    [CStruct("struct xen_hvm_altp2m_suppress_ve_multi", "xen/hvm/hvm_op.h")]
    public struct SuppressVeMulti
    {
        [FieldOffset(0), CField("view")] public ushort View;
        [FieldOffset(2), CField("suppress_ve")] public byte Suppress;
        [FieldOffset(3), CField("pad1")] public byte Pad1;
        /// <summary>Out.</summary>
        [FieldOffset(4), CField("first_error")] public int FirstError;
        [FieldOffset(8), CField("first_gfn")] public ulong FirstGfn;
        [FieldOffset(16), CField("last_gfn")] public ulong LastGfn;
        /// <summary>Out.</summary>
        [FieldOffset(24), CField("first_error_gfn")] public ulong FirstErrorGfn;
    }

    /// <summary>The view a virtual CPU is in.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 8)]
    [CStruct("struct xen_hvm_altp2m_get_vcpu_p2m_idx", "xen/hvm/hvm_op.h")]
    public struct GetVcpuP2mIdx
    {
        [FieldOffset(0), CField("vcpu_id")] public uint VcpuId;
        /// <summary>Out.</summary>
        [FieldOffset(4), CField("altp2m_idx")] public ushort Index;
    }

    /// <summary>May VMFUNC reach a view?</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct xen_hvm_altp2m_set_visibility", "xen/hvm/hvm_op.h")]
    public struct SetVisibility
    {
        [FieldOffset(0), CField("altp2m_idx")] public ushort Index;
        /// <summary>0 hides.</summary>
        [FieldOffset(2), CField("visible")] public byte Visible;
        /// <summary>0.</summary>
        [FieldOffset(3), CField("pad")] public byte Pad;
    }

    /// <summary>The argument of HVMOP_altp2m.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 80)]
    [CStruct("struct xen_hvm_altp2m_op", "xen/hvm/hvm_op.h")]
    public struct Call
    {
        /// <summary><see cref="InterfaceVersion"/>.</summary>
        [FieldOffset(0), CField("version")] public uint Version;
        [FieldOffset(4), CField("cmd")] public Command Cmd;
        [FieldOffset(8), CField("domain")] public ushort Domain;
        /// <summary>0.</summary>
        [FieldOffset(10), CField("pad1")] public ushort Pad1;
        /// <summary>0.</summary>
        [FieldOffset(12), CField("pad2")] public uint Pad2;
        [FieldOffset(16), CField("u.domain_state")] public DomainState DomainState;
        [FieldOffset(16), CField("u.enable_notify")] public VcpuEnableNotify EnableNotify;
        [FieldOffset(16), CField("u.disable_notify")] public VcpuDisableNotify DisableNotify;
        [FieldOffset(16), CField("u.view")] public View View;
        [FieldOffset(16), CField("u.mem_access")] public MemAccess MemAccess;
        [FieldOffset(16), CField("u.change_gfn")] public ChangeGfn ChangeGfn;
        [FieldOffset(16), CField("u.set_mem_access_multi")] public SetMemAccessMulti SetMemAccessMulti;
        [FieldOffset(16), CField("u.suppress_ve")] public SuppressVe SuppressVe;
        [FieldOffset(16), CField("u.suppress_ve_multi")] public SuppressVeMulti SuppressVeMulti;
        [FieldOffset(16), CField("u.get_vcpu_p2m_idx")] public GetVcpuP2mIdx GetVcpuP2mIdx;
        [FieldOffset(16), CField("u.set_visibility")] public SetVisibility SetVisibility;
    }
}
