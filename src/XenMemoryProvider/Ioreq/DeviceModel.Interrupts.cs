using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace XenMemoryProvider.Ioreq;

public sealed partial class DeviceModel
{
    /// <summary>Sends a message-signalled interrupt (x86): what a function would write to <paramref name="address"/>.</summary>
    /// <param name="address">All 64 bits count: bits 63:32 hold the high part of the destination.</param>
    /// <returns>0 or a negative errno.</returns>
    public int InjectMsi(ulong address, uint data)
    {
        var call = new DmOp.Call { Op = DmOp.Command.InjectMsi, InjectMsi = new() { Addr = address, Data = data } };
        return Run(ref call);
    }

    /// <summary>Drives an interrupt pin of a function on bus 0 (x86; HVM only: a PVH guest has nothing it could reach).</summary>
    /// <param name="device">0..31.</param>
    /// <param name="intx">0..3 for INTA..INTD.</param>
    /// <returns>0, or -EINVAL: out of range.</returns>
    public int SetPciIntxLevel(byte device, byte intx, bool level)
    {
        var call = new DmOp.Call { Op = DmOp.Command.SetPciIntxLevel, SetPciIntxLevel = new() { Device = device, Intx = intx, Level = Bit(level) } };
        return Run(ref call);
    }

    /// <summary>Drives an ISA line (x86; HVM only). An edge: it must fall before it can rise again.</summary>
    /// <param name="irq">0..15.</param>
    /// <returns>0, or -EINVAL: out of range.</returns>
    public int SetIsaIrqLevel(byte irq, bool level)
    {
        var call = new DmOp.Call { Op = DmOp.Command.SetIsaIrqLevel, SetIsaIrqLevel = new() { IsaIrq = irq, Level = Bit(level) } };
        return Run(ref call);
    }

    /// <summary>Drives a shared peripheral interrupt (Arm only).</summary>
    /// <param name="irq">From 32 on.</param>
    /// <returns>0; -EINVAL: not such an interrupt, or Xen's own; -EOPNOTSUPP: not Arm.</returns>
    public int SetIrqLevel(uint irq, bool level)
    {
        var call = new DmOp.Call { Op = DmOp.Command.SetIrqLevel, SetIrqLevel = new() { Irq = irq, Level = Bit(level) } };
        return Run(ref call);
    }

    /// <summary>Injects an interrupt or exception into a virtual CPU.</summary>
    /// <param name="errorCode">~0 for none.</param>
    /// <returns>0; -EBUSY: one is pending still; -EINVAL: no such virtual CPU.</returns>
    public int InjectEvent(uint vcpu, DmOp.EventType type, byte vector, byte instructionLength = 0, uint errorCode = uint.MaxValue, ulong cr2 = 0)
    {
        var call = new DmOp.Call
        {
            Op = DmOp.Command.InjectEvent,
            InjectEvent = new() { VcpuId = vcpu, Type = type, Vector = vector, InsnLen = instructionLength, ErrorCode = errorCode, Cr2 = cr2 },
        };
        return Run(ref call);
    }

    /// <summary>Says to which ISA line a PCI link goes (x86, HVM).</summary>
    /// <param name="link">0..3.</param>
    /// <param name="irq">0 for none.</param>
    /// <exception cref="XenException">EINVAL: out of range.</exception>
    public void SetPciLinkRoute(byte link, byte irq)
    {
        var call = new DmOp.Call { Op = DmOp.Command.SetPciLinkRoute, SetPciLinkRoute = new() { Link = link, IsaIrq = irq } };
        Check(ref call);
    }

    private static byte Bit(bool level) => level ? (byte)1 : (byte)0;
}
