namespace XenVhostMaster.Domains;

internal enum TransportKind
{
    Pci,
    Mmio,
}
