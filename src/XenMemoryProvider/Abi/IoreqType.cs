using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>What a request is about (hvm/ioreq.h, IOREQ_TYPE_*).</summary>
[CHeader("xen/hvm/ioreq.h")]
public enum IoreqType : byte
{
    /// <summary>An I/O port.</summary>
    [CConstant("IOREQ_TYPE_PIO")] Pio = 0,
    /// <summary>Memory (MMIO).</summary>
    [CConstant("IOREQ_TYPE_COPY")] Copy = 1,
    /// <summary>Configuration space: the address is SBDF shifted left by 32, or the register.</summary>
    [CConstant("IOREQ_TYPE_PCI_CONFIG")] PciConfig = 2,
    [CConstant("IOREQ_TYPE_TIMEOFFSET")] TimeOffset = 7,
    /// <summary>Drop foreign mappings: the guest lost pages.</summary>
    [CConstant("IOREQ_TYPE_INVALIDATE")] Invalidate = 8,
}
