using XenVhostMaster.Frontends;

namespace XenVhostMaster.Domains;

/// <summary>One device of a guest: its back-end and its place.</summary>
internal sealed record DeviceOptions
{
    public required BackendOptions Backend { get; init; }

    public TransportKind Transport { get; init; } = TransportKind.Pci;

    /// <summary>PCI slot, 1 to 31; null for the first one free.</summary>
    public int? Slot { get; init; }

    /// <summary>MMIO: first guest address of 512 bytes.</summary>
    public ulong? MmioBase { get; init; }

    /// <summary>MMIO: on Arm a shared peripheral interrupt, 32 and up; on x86 an ISA line, 1 to 15.</summary>
    public uint? Irq { get; init; }
}
