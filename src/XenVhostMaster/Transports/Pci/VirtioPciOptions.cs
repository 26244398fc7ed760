namespace XenVhostMaster.Transports.Pci;

/// <summary>What firmware would decide about a function.</summary>
/// <param name="ClassCode">24 bits: base class, subclass, interface.</param>
/// <param name="InitialBar">Where BAR 0 is at first; 0 leaves it to the guest's firmware.</param>
/// <param name="HasPin">There is a wired interrupt (HVM); a PVH guest has none.</param>
internal readonly record struct VirtioPciOptions(uint ClassCode, uint InitialBar, bool HasPin);
