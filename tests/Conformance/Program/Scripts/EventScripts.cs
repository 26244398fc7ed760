using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static XenMemoryProvider.Abi.EventChannelOp;

namespace Conformance.Scripts;

/// <summary>Event channels: the hypercall on a guest's ports, and the driver.</summary>
internal static class EventScripts
{
    private const int Soon = 1000, Not = 30;

    public static IReadOnlyList<Script> All { get; } =
    [
        new("event.alloc-for-a-guest", x =>
        {
            uint port = Open(x, x.Pvh, 0);
            x.Step("alloc_unbound(guest, domain 0) gives a port", "yes", () => port > 0);
            x.Step("its status", "unbound for 0", () => StatusOf(x, x.Pvh, port));
            x.Step("bind_interdomain", "yes", () => x.Evtchn.BindInterdomain(x.Pvh, port) > 0);
            x.Step("its status", "interdomain", () => StatusOf(x, x.Pvh, port));
        }),
        new("event.alloc-errors", x =>
        {
            var alloc = new AllocUnbound { Dom = Run.Nobody, RemoteDom = 0 };
            x.Step("alloc_unbound in domain 999", "ESRCH", () => x.Privcmd.EventChannelOp(Command.AllocUnbound, ref alloc));
            alloc = new AllocUnbound { Dom = x.Pvh, RemoteDom = Run.Nobody };
            x.Step("alloc_unbound for domain 999", "0", () => x.Privcmd.EventChannelOp(Command.AllocUnbound, ref alloc));
        }, "Xen does not look whether the domain a port is for exists."),
        new("event.bind-for-another", x =>
        {
            uint port = Open(x, x.Pvh, 5);
            x.Step("bind_interdomain to a port for domain 5", "EINVAL", () => x.Evtchn.BindInterdomain(x.Pvh, port));
        }),
        new("event.bind-bad-ports", x =>
        {
            x.Step("bind_interdomain(port 0)", "EINVAL", () => x.Evtchn.BindInterdomain(x.Pvh, 0));
            x.Step("bind_interdomain(port 4000)", "EINVAL", () => x.Evtchn.BindInterdomain(x.Pvh, 4000));
            x.Step("bind_interdomain(port ~0)", "EINVAL", () => x.Evtchn.BindInterdomain(x.Pvh, uint.MaxValue));
            x.Step("bind_interdomain to domain 999", "ESRCH", () => x.Evtchn.BindInterdomain(Run.Nobody, 1));
        }),
        new("event.bind-twice", x =>
        {
            uint port = Open(x, x.Pvh, 0);
            x.Step("bind_interdomain", "yes", () => x.Evtchn.BindInterdomain(x.Pvh, port) > 0);
            x.Step("again", "EINVAL", () => x.Evtchn.BindInterdomain(x.Pvh, port));
        }),
        new("event.close-offers-the-other-end-again", x =>
        {
            uint port = Open(x, x.Pvh, 0);
            uint local = x.Evtchn.BindInterdomain(x.Pvh, port);
            x.Step("unbind", "0", () => x.Evtchn.Unbind(local));
            x.Step("the other end's status", "unbound for 0", () => StatusOf(x, x.Pvh, port));
            x.Step("bind_interdomain again", "yes", () => x.Evtchn.BindInterdomain(x.Pvh, port) > 0);
        }),
        new("event.close-of-the-open-closes-its-ports", x =>
        {
            uint port = Open(x, x.Pvh, 0);
            using (IEvtchn other = x.Machine.Kernel.OpenEvtchn()) other.BindInterdomain(x.Pvh, port);
            x.Step("the other end's status", "unbound for 0", () => StatusOf(x, x.Pvh, port));
        }),
        new("event.status-errors", x =>
        {
            x.Step("status in domain 999", "ESRCH", () => StatusOf(x, Run.Nobody, 1));
            x.Step("status of port 200000", "EINVAL", () => StatusOf(x, x.Pvh, 200_000));
            x.Step("status of port ~0", "EINVAL", () => StatusOf(x, x.Pvh, uint.MaxValue));
            x.Step("status of port 0", "closed", () => StatusOf(x, x.Pvh, 0));
        }),
        new("event.status-of-an-ioreq-port", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            XenMapping page = x.MapServer(x.Pvh, id, MemoryOp.IoreqServerFrameIoreq);
            x.DmOp(x.Pvh, Dm.Enable(id));
            uint port = VpEport(page);
            x.Step("status of a port attached to Xen", "EACCES", () => StatusOf(x, x.Pvh, port));
        }),
        new("event.round-trip", x =>
        {
            (IEvtchn one, uint offered, IEvtchn other, uint bound) = Pair(x);
            x.Step("one event right after bind_interdomain", "its port", () => Take(other, bound));
            x.Step("notify from it", "0", () => other.Notify(bound));
            x.Step("the other end has it", "its port", () => Take(one, offered));
            x.Step("notify back", "0", () => one.Notify(offered));
            x.Step("not before it is unmasked", "nothing", () => Take(other, bound, Not));
            x.Step("unmask", "0", () => other.Unmask(bound));
            x.Step("then it is there", "its port", () => Take(other, bound));
        }),
        new("event.many-notifications-are-one", x =>
        {
            (IEvtchn one, uint offered, IEvtchn other, uint bound) = Pair(x);
            for (int i = 0; i < 5; i++) other.Notify(bound);
            x.Step("after five notifications", "its port", () => Take(one, offered));
            x.Step("unmask", "0", () => one.Unmask(offered));
            x.Step("once more, for those that came while it was masked", "its port", () => Take(one, offered));
            x.Step("unmask", "0", () => one.Unmask(offered));
            x.Step("then", "nothing", () => Take(one, offered, Not));
        }),
        new("event.ports-are-the-open's-own", x =>
        {
            (IEvtchn one, uint offered, IEvtchn other, uint _) = Pair(x);
            x.Step("notify of another open's port", "ENOTCONN", () => other.Notify(offered));
            x.Step("unbind of another open's port", "ENOTCONN", () => other.Unbind(offered));
            x.Step("notify of port 3000, nobody's", "ENOTCONN", () => one.Notify(3000));
            x.Step("unbind of port ~0", "EINVAL", () => one.Unbind(uint.MaxValue));
            x.Step("unmask of a port that is nobody's", "0", () => one.Unmask(60_000));
        }),
        new("event.unbind-twice", x =>
        {
            uint port = x.Evtchn.BindUnbound(0);
            x.Step("unbind", "0", () => x.Evtchn.Unbind(port));
            x.Step("again", "ENOTCONN", () => x.Evtchn.Unbind(port));
            x.Step("notify", "ENOTCONN", () => x.Evtchn.Notify(port));
        }),
        new("event.notify-without-another-end", x =>
        {
            uint port = x.Evtchn.BindUnbound(x.Pvh);
            x.Step("notify of an unbound port", "0", () => x.Evtchn.Notify(port));
            (IEvtchn one, uint offered, IEvtchn other, uint bound) = Pair(x);
            other.Unbind(bound);
            x.Step("notify of one whose other end closed", "0", () => one.Notify(offered));
        }),
        new("event.unbound-for-anybody", x =>
        {
            x.Step("bind_unbound_port for domain 999", "yes", () => x.Evtchn.BindUnbound(Run.Nobody) > 0);
            x.Step("bind_unbound_port for DOMID_INVALID", "yes", () => x.Evtchn.BindUnbound(Domid.Invalid) > 0);
        }),
        new("event.virq", x =>
        {
            using (IEvtchn first = x.Machine.Kernel.OpenEvtchn())
            {
                x.Step("bind_virq(ENOMEM)", "yes", () => first.BindVirq(Virq.Enomem) > 0);
                x.Step("bind_virq(ENOMEM) by another", "EEXIST", () => x.Evtchn.BindVirq(Virq.Enomem));
            }

            x.Step("after the first closed", "yes", () => x.Evtchn.BindVirq(Virq.Enomem) > 0);
            x.Step("bind_virq(24)", "EINVAL", () => x.Evtchn.BindVirq(Virq.Count));
            x.Step("bind_virq(~0)", "EINVAL", () => x.Evtchn.BindVirq((Virq)uint.MaxValue));
        }),
        new("event.restricted", x =>
        {
            uint port = Open(x, x.Pvh, 0);
            using IEvtchn events = x.Machine.Kernel.OpenEvtchn();
            x.Step("RESTRICT_DOMID(0)", "EINVAL", () => events.Restrict(0));
            x.Step("RESTRICT_DOMID(DOMID_SELF)", "EINVAL", () => events.Restrict(Domid.Self));
            x.Step("RESTRICT_DOMID(guest)", "0", () => events.Restrict(x.Pvh));
            x.Step("RESTRICT_DOMID(guest) again", "EACCES", () => events.Restrict(x.Pvh));
            x.Step("bind_virq", "EACCES", () => events.BindVirq(Virq.Enomem));
            x.Step("bind_unbound_port", "EACCES", () => events.BindUnbound(x.Pvh));
            x.Step("bind_interdomain to another domain", "EACCES", () => events.BindInterdomain(x.Hvm, port));
            x.Step("bind_interdomain to the guest", "yes", () => events.BindInterdomain(x.Pvh, port) > 0);
        }),
        new("event.ports-of-a-domain-run-out", x =>
        {
            List<uint> ports = [];
            ushort victim = x.Machine.CreateVictim();
            x.Defer(() => x.Machine.Destroy(victim));
            int result = 0;
            for (int i = 0; i < 1100 && result == 0; i++)
            {
                var alloc = new AllocUnbound { Dom = victim, RemoteDom = 0 };
                result = x.Privcmd.EventChannelOp(Command.AllocUnbound, ref alloc);
                if (result == 0) ports.Add(alloc.Port);
            }

            x.Step("alloc_unbound until it fails", "ENOSPC", () => result);
            x.Step("the last port", "1023", () => ports.Max());
        }),
        new("event.domain-dies-with-its-ports", x =>
        {
            ushort victim = x.Machine.CreateVictim();
            uint port = Open(x, victim, 0), second = Open(x, victim, 0);
            uint local = x.Evtchn.BindInterdomain(victim, port);
            x.Step("its toolstack destroys it", "0", () => x.Machine.Destroy(victim));
            x.Step("notify of the end that is left", "0", () => x.Evtchn.Notify(local));
            x.Step("bind_interdomain to another port of it", "ESRCH", () => Run.Eventually(() => Bind(x, victim, second), -(int)XenErrno.ESRCH));
            x.Step("unbind of the end that is left", "0", () => x.Evtchn.Unbind(local));
        }),
        new("event.unknown-command", x =>
        {
            var reset = new Reset { Dom = x.Pvh };
            x.Step("event_channel_op 14", "EBUSY", () => x.Privcmd.EventChannelOp((Command)14, ref reset));
            x.Step("event_channel_op 15", "ENOSYS", () => x.Privcmd.EventChannelOp((Command)15, ref reset));
            reset.Dom = Run.Nobody;
            x.Step("reset of domain 999", "ESRCH", () => x.Privcmd.EventChannelOp(Command.Reset, ref reset));
        }, "14 is Xen's own way to continue a reset. Callers get EBUSY for it, not ENOSYS."),
        new("event.raw-bad-ports", x =>
        {
            var close = new Close { Port = 200_000 };
            x.Step("close(port 200000)", "EINVAL", () => x.Privcmd.EventChannelOp(Command.Close, ref close));
            var send = new Send { Port = 200_000 };
            x.Step("send(port 200000)", "EINVAL", () => x.Privcmd.EventChannelOp(Command.Send, ref send));
            var vcpu = new BindVcpu { Port = 1, Vcpu = 5000 };
            x.Step("bind_vcpu(vcpu 5000)", "ENOENT", () => x.Privcmd.EventChannelOp(Command.BindVcpu, ref vcpu));
            var ipi = new BindIpi { Vcpu = 5000 };
            x.Step("bind_ipi(vcpu 5000)", "ENOENT", () => x.Privcmd.EventChannelOp(Command.BindIpi, ref ipi));
            var virq = new BindVirq { Virq = Virq.Enomem, Vcpu = 1 };
            x.Step("bind_virq(a global one, vcpu 1)", "EINVAL", () => x.Privcmd.EventChannelOp(Command.BindVirq, ref virq));
            var priority = new SetPriority { Port = 200_000 };
            x.Step("set_priority(port 200000)", "EINVAL", () => x.Privcmd.EventChannelOp(Command.SetPriority, ref priority));
            var unmask = new Unmask { Port = 200_000 };
            x.Step("unmask(port 200000)", "EINVAL", () => x.Privcmd.EventChannelOp(Command.Unmask, ref unmask));
        }),
    ];

    /// <summary>A port of a guest for another domain.</summary>
    /// <exception cref="XenException">As Xen says.</exception>
    public static uint Open(Run x, ushort domid, ushort remote)
    {
        var alloc = new AllocUnbound { Dom = domid, RemoteDom = remote };
        XenException.Check(x.Privcmd.EventChannelOp(Command.AllocUnbound, ref alloc), "alloc_unbound", domid);
        return alloc.Port;
    }

    private static int Bind(Run x, ushort domid, uint port)
    {
        try
        {
            return (int)x.Evtchn.BindInterdomain(domid, port);
        }
        catch (XenException e)
        {
            return -e.Errno;
        }
    }

    private static Outcome StatusOf(Run x, ushort domid, uint port)
    {
        var status = new Status { Dom = domid, Port = port };
        int result = x.Privcmd.EventChannelOp(Command.Status, ref status);
        if (result < 0) return result;
        return status.State switch
        {
            ChannelState.Unbound => $"unbound for {status.UnboundDom}",
            ChannelState.Interdomain => "interdomain",
            ChannelState.Closed => "closed",
            _ => $"{status.State}",
        };
    }

    // Two opens, a port of each, bound to each other.
    private static (IEvtchn One, uint Offered, IEvtchn Other, uint Bound) Pair(Run x)
    {
        IEvtchn one = x.Own(x.Machine.Kernel.OpenEvtchn()), other = x.Own(x.Machine.Kernel.OpenEvtchn());
        uint offered = one.BindUnbound(0);
        return (one, offered, other, other.BindInterdomain(0, offered));
    }

    private static Outcome Take(IEvtchn events, uint port, int milliseconds = Soon)
    {
        if (!Run.IsReadable(events, milliseconds)) return "nothing";
        Span<uint> ports = stackalloc uint[8];
        int count = events.ReadPorts(ports);
        return count == 1 && ports[0] == port ? "its port" : $"{count} ports";
    }

    private static unsafe uint VpEport(XenMapping page) => ((Ioreq*)page.Pointer)->VpEport;
}
