using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>Virtual interrupts (xen.h).</summary>
[CHeader("xen/xen.h")]
public enum Virq : uint
{
    [CConstant("VIRQ_TIMER")] Timer = 0,
    [CConstant("VIRQ_DEBUG")] Debug = 1,
    [CConstant("VIRQ_CONSOLE")] Console = 2,
    /// <summary>A domain was shut down or destroyed.</summary>
    [CConstant("VIRQ_DOM_EXC")] DomExc = 3,
    [CConstant("VIRQ_TBUF")] Tbuf = 4,
    [CConstant("VIRQ_DEBUGGER")] Debugger = 6,
    [CConstant("VIRQ_XENOPROF")] Xenoprof = 7,
    [CConstant("VIRQ_CON_RING")] ConRing = 8,
    [CConstant("VIRQ_PCPU_STATE")] PcpuState = 9,
    [CConstant("VIRQ_MEM_EVENT")] MemEvent = 10,
    [CConstant("VIRQ_ARGO")] Argo = 11,
    [CConstant("VIRQ_ENOMEM")] Enomem = 12,
    [CConstant("VIRQ_XENPMU")] Xenpmu = 13,
    [CConstant("VIRQ_ARCH_0")] Arch0 = 16,
    /// <summary>How many there are.</summary>
    [CConstant("NR_VIRQS")] Count = 24,
}
