using VhostUser.Protocol;

namespace VhostUser.Memory;

/// <summary>One buffer of a descriptor chain, as the driver described it and before it is looked up.</summary>
/// <param name="Address">First byte, in the address space that the driver uses.</param>
/// <param name="Length">Bytes; may be 0 (the address must lie in memory all the same).</param>
/// <param name="Writable">True where the device writes (VIRTQ_DESC_F_WRITE).</param>
public readonly record struct GuestRange(GuestAddress Address, uint Length, bool Writable);
