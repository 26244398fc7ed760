namespace VhostUser.Memory;

/// <summary>What came of looking up a chain's buffers.</summary>
public enum ResolveResult
{
    /// <summary>Every byte is reachable.</summary>
    Ok,

    /// <summary>An address lies outside every region: the driver broke its ring.</summary>
    OutsideMemory,

    /// <summary>
    /// Inside the regions, but a page is not there (ballooned out, a revoked grant): this request fails, the
    /// ring lives. The entries concerned have a null base.
    /// </summary>
    Hole,
}
