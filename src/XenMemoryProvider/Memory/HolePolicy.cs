namespace XenMemoryProvider.Memory;

/// <summary>What to do about pages of a region that the guest does not have: ballooned out, or never there.</summary>
public enum HolePolicy
{
    /// <summary>The region is mapped without them. A request that touches one fails; nothing else notices.</summary>
    Leave,

    /// <summary>The region is refused.</summary>
    Fail,
}
