using XenMemoryProvider.Ioreq;
using XenVhostMaster.Transports;

namespace XenVhostMaster.Domains;

/// <summary>A wired interrupt of an MMIO device: a shared peripheral interrupt on Arm, an ISA line on x86.</summary>
internal sealed class MmioLine(DeviceModel model, uint irq, IoreqCounters counters) : IInterruptLine
{
    private const uint FirstSharedInterrupt = 32;

    public void Set(bool asserted)
    {
        counters.Interrupts += asserted ? 1 : 0;
        int result = irq >= FirstSharedInterrupt ? model.SetIrqLevel(irq, asserted) : model.SetIsaIrqLevel((byte)irq, asserted);
        if (result < 0)
            counters.FailedInterrupts++;
    }
}
