using Microsoft.Extensions.Logging;
using XenMemoryProvider.Ioreq;
using XenMemoryProvider.Kernel;
using XenVhostMaster.Transports.Pci;

namespace XenVhostMaster.Domains;

/// <summary>Interrupts and ranges of PCI functions, by dm_op.</summary>
internal sealed class GuestPciSink(DeviceModel model, IoreqServer server, IoreqCounters counters, string guest, ILogger logger) : IPciSink
{
    public void InjectMsi(ulong address, uint data)
    {
        counters.Interrupts++;
        int result = model.InjectMsi(address, data);
        if (result < 0)
            counters.FailedInterrupts++;
    }

    public void SetInterruptPin(int device, int pin, bool asserted)
    {
        counters.Interrupts += asserted ? 1 : 0;
        if (model.SetPciIntxLevel((byte)device, (byte)pin, asserted) < 0)
            counters.FailedInterrupts++;
    }

    public bool ClaimMemory(ulong start, ulong end) => Try("claiming a BAR", () => server.MapMemory(start, end));

    public void ReleaseMemory(ulong start, ulong end) => Try("releasing a BAR", () => server.UnmapMemory(start, end));

    private bool Try(string operation, Action action)
    {
        try
        {
            action();
            return true;
        }
        catch (XenException e)
        {
            logger.OperationFailed(guest, operation, e.Message);
            return false;
        }
    }
}
