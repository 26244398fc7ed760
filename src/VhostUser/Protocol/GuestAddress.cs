namespace VhostUser.Protocol;

/// <summary>
/// An address as the guest's driver writes it: guest-physical, or, under a platform IOMMU, an I/O virtual
/// address, or, under Xen grants, a grant reference with bit 63 set.
/// </summary>
/// <param name="Value">The address in bytes.</param>
public readonly record struct GuestAddress(ulong Value)
{
    public override string ToString() => $"gpa 0x{Value:x}";
}
