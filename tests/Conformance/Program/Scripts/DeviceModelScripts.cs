using XenMemoryProvider.Abi;
using static XenMemoryProvider.Abi.DmOp;

namespace Conformance.Scripts;

/// <summary>dm_op: the call itself, interrupts, and what a device model does to memory.</summary>
internal static class DeviceModelScripts
{
    private const ulong Apic = 0xfee00000;

    public static IReadOnlyList<Script> All { get; } =
    [
        new("dm_op.number-of-vcpus", x =>
        {
            var call = new DmOp.Call { Op = Command.NrVcpus };
            x.Step("nr_vcpus", "0", () => x.DmOp(x.Pvh, ref call));
            x.Step("vcpus", "2", () => call.NrVcpus.Vcpus);
        }),
        new("dm_op.no-such-domain", x =>
        {
            x.Step("nr_vcpus of domain 999", "ESRCH", () => x.DmOp(Run.Nobody, new DmOp.Call { Op = Command.NrVcpus }));
            x.Step("of DOMID_SELF", "ESRCH", () => x.DmOp(Domid.Self, new DmOp.Call { Op = Command.NrVcpus }));
            x.Step("of DOMID_XEN", "ESRCH", () => x.DmOp(0x7ff2, new DmOp.Call { Op = Command.NrVcpus }));
            x.Step("of DOMID_INVALID", "ESRCH", () => x.DmOp(Domid.Invalid, new DmOp.Call { Op = Command.NrVcpus }));
        }),
        new("dm_op.own-domain", x => x.Step("nr_vcpus of the caller", "EPERM", () => x.DmOp(0, new DmOp.Call { Op = Command.NrVcpus }))),
        new("dm_op.unknown-operation", x =>
        {
            x.Step("op 21", "EOPNOTSUPP", () => x.DmOp(x.Pvh, new DmOp.Call { Op = (Command)21 }));
            x.Step("op 0xffffffff", "EOPNOTSUPP", () => x.DmOp(x.Pvh, new DmOp.Call { Op = (Command)uint.MaxValue }));
            x.Step("op 0", "EOPNOTSUPP", () => x.DmOp(x.Pvh, default));
            x.Step("set_irq_level, which is Arm's", "EOPNOTSUPP", () => x.DmOp(x.Pvh, new DmOp.Call { Op = Command.SetIrqLevel }));
        }),
        new("dm_op.padding", x =>
        {
            x.Step("nr_vcpus(pad=1)", "EINVAL", () => x.DmOp(x.Pvh, new DmOp.Call { Op = Command.NrVcpus, Pad = 1 }));
            x.Step("op 21 with pad=1", "EOPNOTSUPP", () => x.DmOp(x.Pvh, new DmOp.Call { Op = (Command)21, Pad = 1 }));
            x.Step("op 0 with pad=1", "EINVAL", () => x.DmOp(x.Pvh, new DmOp.Call { Pad = 1 }));
        }),
        new("dm_op.second-buffer-is-ignored", x =>
            x.Step("nr_vcpus with 100 more bytes", "0", () => x.DmOp(x.Pvh, new DmOp.Call { Op = Command.NrVcpus }, new byte[100]))),
        new("dm_op.buffer-of-more-than-a-page", x =>
            x.Step("modified_memory with 4097 bytes", "E2BIG", () => x.DmOp(x.Pvh, new DmOp.Call { Op = Command.ModifiedMemory }, new byte[4097]))),

        new("irq.intx-out-of-range", x =>
        {
            x.Step("set_pci_intx_level(device 32)", "EINVAL", () => x.DmOp(x.Hvm, Dm.Intx(32, 0, 1)));
            x.Step("set_pci_intx_level(intx 4)", "EINVAL", () => x.DmOp(x.Hvm, Dm.Intx(3, 4, 1)));
            x.Step("set_pci_intx_level(level 2)", "EINVAL", () => x.DmOp(x.Hvm, Dm.Intx(3, 0, 2)));
            x.Step("set_pci_intx_level(domain 1)", "EINVAL", () => x.DmOp(x.Hvm, Dm.Intx(3, 0, 1, domain: 1)));
            x.Step("set_pci_intx_level(bus 1)", "EINVAL", () => x.DmOp(x.Hvm, Dm.Intx(3, 0, 1, bus: 1)));
        }),
        new("irq.intx-on-hvm", x =>
        {
            x.Step("set_pci_intx_level(31, 3, 1)", "0", () => x.DmOp(x.Hvm, Dm.Intx(31, 3, 1)));
            x.Step("again", "0", () => x.DmOp(x.Hvm, Dm.Intx(31, 3, 1)));
            x.Step("set_pci_intx_level(31, 3, 0)", "0", () => x.DmOp(x.Hvm, Dm.Intx(31, 3, 0)));
        }),
        new("irq.isa-out-of-range", x =>
        {
            x.Step("set_isa_irq_level(16, 1)", "EINVAL", () => x.DmOp(x.Hvm, Dm.Isa(16, 1)));
            x.Step("set_isa_irq_level(3, 2)", "EINVAL", () => x.DmOp(x.Hvm, Dm.Isa(3, 2)));
        }),
        new("irq.isa-on-hvm", x =>
        {
            x.Step("set_isa_irq_level(15, 1)", "0", () => x.DmOp(x.Hvm, Dm.Isa(15, 1)));
            x.Step("set_isa_irq_level(15, 0)", "0", () => x.DmOp(x.Hvm, Dm.Isa(15, 0)));
        }),
        new("irq.link-route", x =>
        {
            x.Step("set_pci_link_route(4, 5)", "EINVAL", () => x.DmOp(x.Hvm, Dm.Link(4, 5)));
            x.Step("set_pci_link_route(0, 16)", "EINVAL", () => x.DmOp(x.Hvm, Dm.Link(0, 16)));
            x.Step("set_pci_link_route(3, 11)", "0", () => x.DmOp(x.Hvm, Dm.Link(3, 11)));
        }),
        new("irq.msi-fixed", x =>
        {
            x.Step("inject_msi(destination 0, vector 0x40)", "0", () => x.DmOp(x.Pvh, Dm.Msi(Apic, 0x40)));
            x.Step("inject_msi(destination of nobody)", "0", () => x.DmOp(x.Pvh, Dm.Msi(Apic | 0x40 << 12, 0x40)));
            x.Step("inject_msi(vector 5, an exception's)", "0", () => x.DmOp(x.Pvh, Dm.Msi(Apic, 5)));
        }),
        new("irq.msi-lowest-priority", x =>
            x.Step("inject_msi(lowest priority, destination of nobody)", "ESRCH", () => x.DmOp(x.Pvh, Dm.Msi(Apic | 0x40 << 12, 0x140)))),
        new("irq.msi-other-delivery", x =>
        {
            x.Step("inject_msi(SMI)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Msi(Apic, 0x240)));
            x.Step("inject_msi(NMI)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Msi(Apic, 0x440)));
            x.Step("inject_msi(INIT)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Msi(Apic, 0x540)));
            x.Step("inject_msi(ExtINT)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Msi(Apic, 0x740)));
        }),
        new("irq.msi-paravirtual", x =>
        {
            x.Step("inject_msi(vector 0, pirq 0)", "ERANGE", () => x.DmOp(x.Hvm, Dm.Msi(Apic, 0)));
            x.Step("inject_msi(vector 0, pirq 0xffff00)", "EINVAL", () => x.DmOp(x.Hvm, Dm.Msi(0x00ffff00_00000000 | Apic, 0)));
        }),
        new("irq.msi-padding", x =>
            x.Step("inject_msi(pad=1)", "EINVAL", () => x.DmOp(x.Pvh, new DmOp.Call { Op = Command.InjectMsi, InjectMsi = new() { Data = 0x40, Addr = Apic, Pad = 1 } }))),
        new("irq.event-once-until-taken", x =>
        {
            x.Step("inject_event(vcpu 1, vector 0x30)", "0", () => x.DmOp(x.Pvh, Dm.Event(1, EventType.ExtInt, 0x30)));
            x.Step("inject_event again", "EBUSY", () => x.DmOp(x.Pvh, Dm.Event(1, EventType.ExtInt, 0x31)));
        }),
        new("irq.event-no-such-vcpu", x =>
        {
            x.Step("inject_event(vcpu 2)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Event(2, EventType.ExtInt, 0x30)));
            x.Step("inject_event(vcpu ~0)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Event(uint.MaxValue, EventType.ExtInt, 0x30)));
        }),
        new("irq.event-padding", x =>
        {
            x.Step("inject_event(pad0=1)", "EINVAL", () => x.DmOp(x.Pvh, new DmOp.Call { Op = Command.InjectEvent, InjectEvent = new() { Pad0 = 1 } }));
            x.Step("inject_event(pad1=1)", "EINVAL", () => x.DmOp(x.Pvh, new DmOp.Call { Op = Command.InjectEvent, InjectEvent = new() { Pad1 = 1 } }));
        }),
    ];
}
