namespace XenVhostMaster.Domains;

/// <summary>What else a guest has for a device model.</summary>
internal enum GuestKind
{
    /// <summary>Nothing: the master is its PCI host bridge too, and there is no wired interrupt.</summary>
    Pvh,

    /// <summary>QEMU: the master's functions sit beside QEMU's on its bus.</summary>
    Hvm,

    /// <summary>Arm: no PCI, wired interrupts.</summary>
    Arm,
}
