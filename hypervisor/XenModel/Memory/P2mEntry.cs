namespace XenModel.Memory;

/// <summary>One guest frame.</summary>
/// <param name="Type">What it is.</param>
/// <param name="Frame">Which machine frame; not for <see cref="P2mType.MmioDm"/> and paged-out ones.</param>
/// <param name="Pool">Whose machine frame; null for an absent one.</param>
internal readonly record struct P2mEntry(P2mType Type, uint Frame, FramePool? Pool)
{
    public bool IsPresent => Pool is not null && Type != P2mType.MmioDm;

    /// <summary>Does it keep a frame alive, be it of use or not?</summary>
    public bool HoldsFrame => Pool is not null;

    public bool IsPaged => Type is P2mType.PagedOut or P2mType.PagingIn;

    /// <summary>RAM in Xen's sense: what a foreign mapping may name.</summary>
    public bool IsRam => Type is P2mType.Ram or P2mType.RamReadOnly or P2mType.IoreqServer;

    public bool IsGrant => Type is P2mType.GrantWritable or P2mType.GrantReadOnly;

    public bool IsWritable => Type is P2mType.Ram or P2mType.GrantWritable or P2mType.Foreign or P2mType.IoreqServer;

    public FrameReference Reference => new(Pool!, Frame);
}
