using XenMemoryProvider.Abi;
using XenModel.Domains;

namespace XenModel.Ioreq;

internal static partial class DmOps
{
    private const uint FirstSpi = 32;
    private const uint SpiLimit = 1020;
    private const byte FirstVector = 16;

    private static int SetPciIntxLevel(Domain domain, DmOp.SetPciIntxLevel argument)
    {
        if (argument.Domain != 0 || argument.Bus != 0 || argument.Device > 31 || argument.Intx > 3 || argument.Level > 1) return -(int)XenErrno.EINVAL;
        if (domain.Type == DomainType.HVM) domain.Interrupts.SetPci(argument.Device, argument.Intx, argument.Level != 0);
        return 0;
    }

    private static int SetIsaIrqLevel(Domain domain, DmOp.SetIsaIrqLevel argument)
    {
        if (argument.IsaIrq > 15 || argument.Level > 1) return -(int)XenErrno.EINVAL;
        if (domain.Type == DomainType.HVM) domain.Interrupts.SetIsa(argument.IsaIrq, argument.Level != 0);
        return 0;
    }

    private static int SetPciLinkRoute(Domain domain, DmOp.SetPciLinkRoute argument)
    {
        if (argument.Link > 3 || argument.IsaIrq > 15) return -(int)XenErrno.EINVAL;
        if (domain.Type == DomainType.HVM) domain.Interrupts.SetLinkRoute(argument.Link, argument.IsaIrq);
        return 0;
    }

    private static int SetIrqLevel(Domain domain, DmOp.SetIrqLevel argument)
    {
        if ((argument.Pad0 | argument.Pad1 | argument.Pad2) != 0 || argument.Level > 1) return -(int)XenErrno.EINVAL;
        if (argument.Irq is < FirstSpi or >= SpiLimit) return -(int)XenErrno.EINVAL;
        domain.Interrupts.SetSpi(argument.Irq, argument.Level != 0);
        return 0;
    }

    private static int InjectEvent(Domain domain, DmOp.InjectEvent argument)
    {
        if (argument.Pad0 != 0 || argument.Pad1 != 0) return -(int)XenErrno.EINVAL;
        if (domain.FindVcpu(argument.VcpuId) is not { } vcpu) return -(int)XenErrno.EINVAL;
        if (vcpu.Injected is not null) return -(int)XenErrno.EBUSY;
        vcpu.Injected = argument;
        vcpu.RaiseUpcall();
        return 0;
    }

    private static int InjectMsi(Domain domain, DmOp.InjectMsi argument)
    {
        if (argument.Pad != 0) return -(int)XenErrno.EINVAL;
        uint destination = (uint)(argument.Addr >> 12) & 0xff;
        byte vector = (byte)argument.Data;
        if (vector == 0) return InjectPirq(domain, (uint)(argument.Addr >> 32) & 0xffffff00 | destination);

        bool logical = (argument.Addr & 4) != 0;
        const uint fixedDelivery = 0, lowestPriority = 1;
        switch (argument.Data >> 8 & 7)
        {
            case fixedDelivery:
                foreach (Vcpu vcpu in domain.Vcpus)
                {
                    if (IsAddressed(vcpu, destination, logical)) Accept(vcpu, vector);
                }

                return 0;
            case lowestPriority:
                Vcpu? chosen = domain.Vcpus.FirstOrDefault(vcpu => IsAddressed(vcpu, destination, logical));
                if (chosen is null) return -(int)XenErrno.ESRCH;
                Accept(chosen, vector);
                return 0;
            default:
                return -(int)XenErrno.EINVAL;
        }
    }

    // A PV MSI: the number of an interrupt that the guest bound to a port.
    private static int InjectPirq(Domain domain, uint pirq)
    {
        if (pirq == 0) return -(int)XenErrno.ERANGE;
        if (pirq >= Domain.PirqCount) return -(int)XenErrno.EINVAL;
        domain.Events.RaisePirq(pirq);
        return 0;
    }

    private static bool IsAddressed(Vcpu vcpu, uint destination, bool logical)
    {
        const uint broadcast = 0xff;
        if (destination == broadcast) return true;
        return logical ? (vcpu.Apic.LogicalId & destination) != 0 : vcpu.Apic.Id == destination;
    }

    // The local APIC refuses the vectors of exceptions.
    private static void Accept(Vcpu vcpu, byte vector)
    {
        if (vector >= FirstVector) vcpu.Apic.Accept(vector);
    }
}
