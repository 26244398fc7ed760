namespace XenMemoryProvider.Memory;

/// <summary>How a region is mapped.</summary>
internal enum XenRegionKind
{
    /// <summary>By frame number, all at once.</summary>
    Foreign,

    /// <summary>By grant reference, all at once.</summary>
    Grants,

    /// <summary>By grant reference, for each chain what it needs.</summary>
    GrantsOnDemand,
}
