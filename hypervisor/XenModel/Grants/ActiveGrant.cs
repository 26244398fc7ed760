using XenModel.Domains;
using XenModel.Memory;

namespace XenModel.Grants;

/// <summary>A grant in use: what it named when it was first used, whatever the guest writes into its entry since.</summary>
internal sealed class ActiveGrant
{
    public GrantPins Pins;

    /// <summary>Who uses it.</summary>
    public ushort Domid { get; set; }

    public FrameReference Frame { get; set; }

    /// <summary>First byte that may be copied.</summary>
    public int Start { get; set; }

    /// <summary>Bytes that may be copied.</summary>
    public int Length { get; set; }

    /// <summary>A part of a page, or another domain's grant: copied only.</summary>
    public bool IsSubPage { get; set; }

    /// <summary>Whose grant it really is, for a transitive one.</summary>
    public Domain? TransitiveDomain { get; set; }

    public uint TransitiveReference { get; set; }
}
