namespace XenVhostMaster.Domains;

/// <summary>A guest and its devices.</summary>
internal sealed record GuestOptions
{
    /// <summary>Its name in xenstore, or its domain id in decimal.</summary>
    public required string Domain { get; init; }

    public required IReadOnlyList<DeviceOptions> Devices { get; init; }
}
