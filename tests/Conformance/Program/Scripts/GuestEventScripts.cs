using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static XenMemoryProvider.Abi.EventChannelOp;

namespace Conformance.Scripts;

/// <summary>Event channels as a guest sees them: its own hypercalls, and the two formats in its memory.</summary>
internal static unsafe class GuestEventScripts
{
    private const ulong Control = Machine.FreeGfn + 0x710, Words = Machine.FreeGfn + 0x711;

    public static IReadOnlyList<Script> All { get; } =
    [
        new("guest-event.open-and-close", x =>
        {
            var alloc = new AllocUnbound { Dom = Domid.Self, RemoteDom = 0 };
            x.Step("alloc_unbound(SELF)", "0", () => Op(x, Command.AllocUnbound, ref alloc));
            var status = new Status { Dom = Domid.Self, Port = alloc.Port };
            x.Step("status", "0", () => Op(x, Command.Status, ref status));
            x.Step("its state", "Unbound", () => $"{status.State}");
            var close = new Close { Port = alloc.Port };
            x.Step("close", "0", () => Op(x, Command.Close, ref close));
            x.Step("close again", "EINVAL", () => Op(x, Command.Close, ref close));
        }),
        new("guest-event.may-not-open-for-others", x =>
        {
            var alloc = new AllocUnbound { Dom = x.Pvh, RemoteDom = 0 };
            x.Step("alloc_unbound in another guest", "EPERM", () => Op(x, Command.AllocUnbound, ref alloc));
            var status = new Status { Dom = x.Pvh, Port = 1 };
            x.Step("status of another guest's port", "EPERM", () => Op(x, Command.Status, ref status));
        }),
        new("guest-event.interrupt-channels", x =>
        {
            var ipi = new BindIpi { Vcpu = 1 };
            x.Step("bind_ipi(vcpu 1)", "0", () => Op(x, Command.BindIpi, ref ipi));
            x.Step("bind_ipi(vcpu 2)", "ENOENT", () => Bind(x, Command.BindIpi, new BindIpi { Vcpu = 2 }));
            var move = new BindVcpu { Port = ipi.Port, Vcpu = 0 };
            x.Step("bind_vcpu of an IPI", "EINVAL", () => Op(x, Command.BindVcpu, ref move));
            Close(x, ipi.Port);
            var virq = new BindVirq { Virq = Virq.Debug, Vcpu = 1 };
            x.Step("bind_virq(DEBUG, vcpu 1)", "0", () => Op(x, Command.BindVirq, ref virq));
            x.Step("again", "EEXIST", () => Bind(x, Command.BindVirq, new BindVirq { Virq = Virq.Debug, Vcpu = 1 }));
            x.Step("bind_virq(DEBUG, vcpu 2)", "ENOENT", () => Bind(x, Command.BindVirq, new BindVirq { Virq = Virq.Debug, Vcpu = 2 }));
            move = new BindVcpu { Port = virq.Port, Vcpu = 0 };
            x.Step("bind_vcpu of a virtual CPU's own interrupt", "EINVAL", () => Op(x, Command.BindVcpu, ref move));
            Close(x, virq.Port);
        }),
        new("guest-event.loop-to-oneself", x =>
        {
            var alloc = new AllocUnbound { Dom = Domid.Self, RemoteDom = Domid.Self };
            x.Step("alloc_unbound(SELF, SELF)", "0", () => Op(x, Command.AllocUnbound, ref alloc));
            var bind = new BindInterdomain { RemoteDom = Domid.Self, RemotePort = alloc.Port };
            x.Step("bind_interdomain(SELF)", "0", () => Op(x, Command.BindInterdomain, ref bind));
            ulong* pending = Pending(x);
            x.Step("the binding end is pending", "yes", () => IsSet(pending, bind.LocalPort));
            var send = new Send { Port = bind.LocalPort };
            x.Step("send", "0", () => Op(x, Command.Send, ref send));
            x.Step("the other end is pending", "yes", () => IsSet(pending, alloc.Port));
            Close(x, alloc.Port);
            x.Step("close clears it", "no", () => IsSet(pending, alloc.Port));
            Close(x, bind.LocalPort);
        }),
        new("guest-event.device-model's-ports-are-not-the-guest's", x =>
        {
            ushort id = x.NewServer(x.Agent.Domid);
            XenMapping page = x.MapServer(x.Agent.Domid, id, MemoryOp.IoreqServerFrameIoreq);
            x.DmOp(x.Agent.Domid, Dm.Enable(id));
            uint port = ((Ioreq*)page.Pointer)->VpEport;
            var send = new Send { Port = port };
            x.Step("send to the port of an ioreq server", "EINVAL", () => Op(x, Command.Send, ref send));
            var close = new Close { Port = port };
            x.Step("close of it", "EINVAL", () => Op(x, Command.Close, ref close));
            var status = new Status { Dom = Domid.Self, Port = port };
            x.Step("status of it", "EACCES", () => Op(x, Command.Status, ref status));
            var move = new BindVcpu { Port = port, Vcpu = 1 };
            x.Step("bind_vcpu of it", "EINVAL", () => Op(x, Command.BindVcpu, ref move));
        }),
        new("guest-event.bad-ports", x =>
        {
            var send = new Send { Port = 500 };
            x.Step("send(500), closed", "EINVAL", () => Op(x, Command.Send, ref send));
            send.Port = 0;
            x.Step("send(0)", "EINVAL", () => Op(x, Command.Send, ref send));
            var close = new Close { Port = 0 };
            x.Step("close(0)", "EINVAL", () => Op(x, Command.Close, ref close));
            var unmask = new Unmask { Port = uint.MaxValue };
            x.Step("unmask(~0)", "EINVAL", () => Op(x, Command.Unmask, ref unmask));
            var move = new BindVcpu { Port = 1, Vcpu = 2 };
            x.Step("bind_vcpu(vcpu 2)", "ENOENT", () => Op(x, Command.BindVcpu, ref move));
        }),
        new("two-level.masked-until-unmasked", x =>
        {
            (uint port, uint local) = Bound(x);
            byte* shared = Shared(x);
            var mask = (ulong*)(shared + SharedInfo.MaskOffset);
            ulong* pending = Pending(x);
            mask[port / 64] |= 1UL << (int)(port % 64);
            x.Step("notify of a masked port", "0", () => x.Evtchn.Notify(local));
            x.Step("it is pending", "yes", () => IsSet(pending, port));
            var unmask = new Unmask { Port = port };
            x.Step("unmask", "0", () => Op(x, Command.Unmask, ref unmask));
            x.Step("the mask is gone", "no", () => IsSet(mask, port));
            x.Step("evtchn_upcall_pending of vcpu 0", "1", () => (uint)shared[0]);
            x.Step("its selector has the word", "yes", () => IsSet((ulong*)(shared + 8), port / 64));
            Close(x, port);
        }),
        new("fifo.needs-its-control-block", x =>
        {
            x.Step("expand_array before init_control", "EOPNOTSUPP", () => Bind(x, Command.ExpandArray, new ExpandArray { ArrayGfn = Words }));
            x.Step("set_priority in the two-level format", "ENOSYS", () => Bind(x, Command.SetPriority, new SetPriority { Port = 1, Priority = 3 }));
            x.Step("init_control(vcpu 2)", "ENOENT", () => Bind(x, Command.InitControl, new InitControl { ControlGfn = Control, Vcpu = 2 }));
            x.Step("init_control(offset 4)", "EINVAL", () => Bind(x, Command.InitControl, new InitControl { ControlGfn = Control, Offset = 4 }));
            x.Step("init_control(offset 4032, over the page's end)", "EINVAL", () => Bind(x, Command.InitControl, new InitControl { ControlGfn = Control, Offset = 4032 }));
        }),
        new("fifo.life", x =>
        {
            Agent agent = x.Own(x.Machine.CreateAgent());
            agent.Reset();
            agent.StopSleeping();
            x.Step("init_control(a hole)", "EINVAL", () => Op(agent, Command.InitControl, new InitControl { ControlGfn = Machine.HoleGfn }));
            var init = new InitControl { ControlGfn = Control };
            x.Step("init_control(vcpu 0)", "0", () => agent.Hypercall(Hypercall.EventChannelOp, (ulong)Command.InitControl, ref init));
            x.Step("link_bits", "17", () => (uint)init.LinkBits);
            x.Step("init_control(vcpu 0) again", "EINVAL", () => Op(agent, Command.InitControl, new InitControl { ControlGfn = Control }));
            x.Step("expand_array(a hole)", "EINVAL", () => Op(agent, Command.ExpandArray, new ExpandArray { ArrayGfn = Machine.HoleGfn }));
            x.Step("expand_array", "0", () => Op(agent, Command.ExpandArray, new ExpandArray { ArrayGfn = Words }));
            uint port = EventScripts.Open(x, agent.Domid, 0), local = x.Evtchn.BindInterdomain(agent.Domid, port);
            x.Step("set_priority(16)", "EINVAL", () => Op(agent, Command.SetPriority, new SetPriority { Port = port, Priority = 16 }));
            x.Step("set_priority(3)", "0", () => Op(agent, Command.SetPriority, new SetPriority { Port = port, Priority = 3 }));
            XenMapping control = x.Map(agent.Domid, Control), words = x.Map(agent.Domid, Words);
            x.Step("notify", "0", () => x.Evtchn.Notify(local));
            x.Step("the word is pending and linked", "yes", () => ((uint*)words.Pointer)[port] >> 29 is 5);
            x.Step("ready has priority 3", "yes", () => (*(uint*)control.Pointer & 8) != 0);
            x.Step("head of queue 3 is the port", "yes", () => ((uint*)(control.Pointer + 8))[3] == port);
            x.Step("reset(SELF)", "0", () => Op(agent, Command.Reset, new Reset { Dom = Domid.Self }));
            x.Step("expand_array after it", "EOPNOTSUPP", () => Op(agent, Command.ExpandArray, new ExpandArray { ArrayGfn = Words }));
            x.Step("status of the port", "closed", () =>
            {
                var status = new Status { Dom = agent.Domid, Port = port };
                int result = x.Privcmd.EventChannelOp(Command.Status, ref status);
                return result < 0 ? result : status.State == ChannelState.Closed ? "closed" : $"{status.State}";
            });
        }),
    ];

    private static int Op<T>(Run x, Command command, ref T argument)
        where T : unmanaged => x.Agent.Hypercall(Hypercall.EventChannelOp, (ulong)command, ref argument);

    private static int Op<T>(Agent agent, Command command, T argument)
        where T : unmanaged => agent.Hypercall(Hypercall.EventChannelOp, (ulong)command, ref argument);

    private static int Bind<T>(Run x, Command command, T argument)
        where T : unmanaged => Op(x.Agent, command, argument);

    private static void Close(Run x, uint port)
    {
        var close = new Close { Port = port };
        XenException.Check(Op(x, Command.Close, ref close), "close", x.Agent.Domid);
    }

    // A port of the guest and domain 0's end of it.
    private static (uint Port, uint Local) Bound(Run x)
    {
        uint port = EventScripts.Open(x, x.Agent.Domid, 0);
        uint local = x.Evtchn.BindInterdomain(x.Agent.Domid, port);
        return (port, local);
    }

    private static byte* Shared(Run x) => x.Map(x.Agent.Domid, Agent.SharedInfoGfn).Pointer;

    private static ulong* Pending(Run x) => (ulong*)(Shared(x) + SharedInfo.PendingOffset);

    private static bool IsSet(ulong* bits, uint port) => (Volatile.Read(ref bits[port / 64]) >> (int)(port % 64) & 1) != 0;
}
