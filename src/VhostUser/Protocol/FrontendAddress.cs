namespace VhostUser.Protocol;

/// <summary>
/// An address in the front-end's own address space ("user address" in the vhost-user text): ring addresses and
/// IOTLB targets are given so. It is only ever compared with the regions' user addresses, never dereferenced.
/// </summary>
/// <param name="Value">The address in bytes.</param>
public readonly record struct FrontendAddress(ulong Value)
{
    public override string ToString() => $"user 0x{Value:x}";
}
