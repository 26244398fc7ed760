using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>Flags of a grant entry (grant_table.h, GTF_*): a type in the low two bits, and what is allowed and in use.</summary>
[CHeader("xen/grant_table.h")]
public enum GrantFlags : ushort
{
    /// <summary>Type: no grant.</summary>
    [CConstant("GTF_invalid")] Invalid = 0,
    /// <summary>Type: the domain may map or copy the frame.</summary>
    [CConstant("GTF_permit_access")] PermitAccess = 1,
    /// <summary>Type: the domain may give a frame to the granter.</summary>
    [CConstant("GTF_accept_transfer")] AcceptTransfer = 2,
    /// <summary>Type: the domain may use a grant made to the granter (version 2).</summary>
    [CConstant("GTF_transitive")] Transitive = 3,
    [CConstant("GTF_type_mask")] TypeMask = 3,
    /// <summary>Set by the granter: no writing.</summary>
    [CConstant("GTF_readonly")] ReadOnly = 4,
    /// <summary>Set by Xen: mapped or copied from.</summary>
    [CConstant("GTF_reading")] Reading = 8,
    /// <summary>Set by Xen: mapped or copied to, for writing.</summary>
    [CConstant("GTF_writing")] Writing = 16,
    [CConstant("GTF_PWT")] PWT = 32,
    [CConstant("GTF_PCD")] PCD = 64,
    [CConstant("GTF_PAT")] PAT = 128,
    /// <summary>A part of a page: may be copied, not mapped (version 2).</summary>
    [CConstant("GTF_sub_page")] SubPage = 256,
    /// <summary>For <see cref="AcceptTransfer"/>: set by Xen.</summary>
    [CConstant("GTF_transfer_committed")] TransferCommitted = 4,
    /// <summary>For <see cref="AcceptTransfer"/>: set by Xen.</summary>
    [CConstant("GTF_transfer_completed")] TransferCompleted = 8,
}
