using XenVhostMaster.Frontends;
using XenVhostMaster.Transports;
using XenVhostMaster.Transports.Mmio;

namespace XenVhostMaster.Domains;

/// <summary>A device in a guest.</summary>
/// <param name="Slot">PCI slot; -1 for MMIO.</param>
/// <param name="MmioBase">First address; 0 for PCI.</param>
internal sealed record AttachedDevice(
    DeviceOptions Options, BackendLink Link, VirtioDeviceModel Model, int Slot, ulong MmioBase, VirtioMmioDevice? Mmio)
{
    /// <summary>For messages and for naming it in commands: "block@1", "net@mmio-2000000".</summary>
    public string Name => Slot >= 0
        ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{Options.Backend.Kind.Name}@{Slot}")
        : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{Options.Backend.Kind.Name}@mmio-{MmioBase:x}");
}
