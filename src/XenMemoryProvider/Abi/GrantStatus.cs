using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>What Xen says about one grant operation (grant_table.h, GNTST_*).</summary>
[CHeader("xen/grant_table.h")]
public enum GrantStatus : short
{
    [CConstant("GNTST_okay")] Okay = 0,
    /// <summary>Wrong type or domain, read-only, unstable entry, flags a translated caller may not use.</summary>
    [CConstant("GNTST_general_error")] GeneralError = -1,
    /// <summary>No such domain.</summary>
    [CConstant("GNTST_bad_domain")] BadDomain = -2,
    /// <summary>Reference outside the table, or nothing asked to be mapped.</summary>
    [CConstant("GNTST_bad_gntref")] BadGntref = -3,
    /// <summary>Not a live mapping.</summary>
    [CConstant("GNTST_bad_handle")] BadHandle = -4,
    [CConstant("GNTST_bad_virt_addr")] BadVirtAddr = -5,
    [CConstant("GNTST_bad_dev_addr")] BadDevAddr = -6,
    [CConstant("GNTST_no_device_space")] NoDeviceSpace = -7,
    /// <summary>Refused by the security policy.</summary>
    [CConstant("GNTST_permission_denied")] PermissionDenied = -8,
    /// <summary>The frame behind the grant is unusable.</summary>
    [CConstant("GNTST_bad_page")] BadPage = -9,
    /// <summary>A copy crosses the end of a page.</summary>
    [CConstant("GNTST_bad_copy_arg")] BadCopyArg = -10,
    [CConstant("GNTST_address_too_big")] AddressTooBig = -11,
    /// <summary>The frame is paged out: try again.</summary>
    [CConstant("GNTST_eagain")] Eagain = -12,
    /// <summary>The table of mappings is full.</summary>
    [CConstant("GNTST_no_space")] NoSpace = -13,
}
