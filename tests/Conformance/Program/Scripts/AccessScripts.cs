using XenMemoryProvider.Abi;
using static XenMemoryProvider.Abi.DmOp;

namespace Conformance.Scripts;

/// <summary>What a guest accesses, which server gets it, and what a device model that breaks the rules does to the guest.</summary>
internal static class AccessScripts
{
    private const ulong Mmio = Machine.HoleGfn << 12;

    public static IReadOnlyList<Script> All { get; } =
    [
        new("access.nobody-answers", x =>
        {
            x.Step("in(0x510, 1 byte)", "0xff", () => Do(x.Agent, AgentWork.In, 0x510, width: 1));
            x.Step("in(0x510, 2 bytes)", "0xffff", () => Do(x.Agent, AgentWork.In, 0x510, width: 2));
            x.Step("in(0x510, 4 bytes)", "0xffffffff", () => Do(x.Agent, AgentWork.In, 0x510));
            x.Step("out(0x510)", "0x0", () => Do(x.Agent, AgentWork.Out, 0x510));
            x.Step("a load of 8 bytes where nothing is", "0xffffffffffffffff", () => Do(x.Agent, AgentWork.Load, Mmio, width: 8));
        }),
        new("access.port-read", x =>
        {
            var server = new TestServer(x, x.Agent.Domid, IoRangeType.Port, 0x510, 0x513);
            x.Agent.Start(new AgentOrder(AgentWork.In, 0x510, Width: 4));
            x.Step("the server has a request", "yes", server.WaitForRequest);
            x.Step("type, size, count, direction", "Pio 4 1 read", () => Describe(server.Slot));
            x.Step("addr", "0x510", () => server.Slot.Addr);
            server.Answer(0x12345678);
            x.Step("in", "0x12345678", () => x.Agent.Finish());
            x.Step("the slot's state afterwards", "0", () => (uint)server.Slot.State);
        }),
        new("access.port-read-of-a-byte", x =>
        {
            var server = new TestServer(x, x.Agent.Domid, IoRangeType.Port, 0x510, 0x513);
            x.Agent.Start(new AgentOrder(AgentWork.In, 0x511, Width: 1));
            x.Step("the server has a request", "yes", server.WaitForRequest);
            x.Step("type, size, count, direction", "Pio 1 1 read", () => Describe(server.Slot));
            server.Answer(0x12345678);
            x.Step("in: the low byte alone", "0x78", () => x.Agent.Finish());
        }),
        new("access.port-write", x =>
        {
            var server = new TestServer(x, x.Agent.Domid, IoRangeType.Port, 0x510, 0x513);
            x.Agent.Start(new AgentOrder(AgentWork.Out, 0x510, 0xabcd, Width: 2));
            x.Step("the server has a request", "yes", server.WaitForRequest);
            x.Step("type, size, count, direction", "Pio 2 1 write", () => Describe(server.Slot));
            x.Step("data, its low 2 bytes", "0xabcd", () => server.Slot.Data & 0xffff);
            server.Answer(0);
            x.Step("out ends", "no", () => x.Agent.Finish().IsStopped);
        }),
        new("access.memory-read", x =>
        {
            var server = new TestServer(x, x.Agent.Domid, IoRangeType.Memory, Mmio, Mmio + 0xfff);
            x.Agent.Start(new AgentOrder(AgentWork.Load, Mmio + 8, Width: 4));
            x.Step("the server has a request", "yes", server.WaitForRequest);
            x.Step("type, size, count, direction", "Copy 4 1 read", () => Describe(server.Slot));
            x.Step("addr", $"0x{Mmio + 8:x}", () => server.Slot.Addr);
            server.Answer(0xcafe);
            x.Step("the load", "0xcafe", () => x.Agent.Finish());
        }),
        new("access.memory-write", x =>
        {
            var server = new TestServer(x, x.Agent.Domid, IoRangeType.Memory, Mmio, Mmio + 0xfff);
            x.Agent.Start(new AgentOrder(AgentWork.Store, Mmio, 0x0102030405060708, Width: 8));
            x.Step("the server has a request", "yes", server.WaitForRequest);
            x.Step("type, size, count, direction", "Copy 8 1 write", () => Describe(server.Slot));
            x.Step("data", "0x102030405060708", () => server.Slot.Data);
            server.Answer(0);
            x.Step("the store ends", "no", () => x.Agent.Finish().IsStopped);
        }),
        new("access.pci-configuration", x =>
        {
            var server = new TestServer(x, x.Agent.Domid, IoRangeType.Pci, PciSbdf(0, 0, 3, 0), PciSbdf(0, 0, 3, 0));
            x.Step("out(0xcf8, 0x80001810)", "0x0", () => Do(x.Agent, AgentWork.Out, 0xcf8, 0x80001810));
            x.Agent.Start(new AgentOrder(AgentWork.In, 0xcfe, Width: 2));
            x.Step("the server has a request", "yes", server.WaitForRequest);
            x.Step("type, size, count, direction", "PciConfig 2 1 read", () => Describe(server.Slot));
            x.Step("addr: sbdf << 32 | register", "0x1800000012", () => server.Slot.Addr);
            server.Answer(0x55aa);
            x.Step("in", "0x55aa", () => x.Agent.Finish());
            x.Step("in of a function that nobody claims", "0xffff", () =>
            {
                Do(x.Agent, AgentWork.Out, 0xcf8, 0x80002000);
                return Do(x.Agent, AgentWork.In, 0xcfc, width: 2);
            });
        }),
        new("access.highest-server-wins", x =>
        {
            var low = new TestServer(x, x.Agent.Domid, IoRangeType.Port, 0x510, 0x51f);
            var high = new TestServer(x, x.Agent.Domid, IoRangeType.Port, 0x514, 0x517);
            x.Agent.Start(new AgentOrder(AgentWork.In, 0x514, Width: 4));
            x.Step("the server with the higher id has it", "yes", high.WaitForRequest);
            high.Answer(2);
            x.Step("in", "0x2", () => x.Agent.Finish());
            x.Agent.Start(new AgentOrder(AgentWork.In, 0x513, Width: 2));
            x.Step("an access that does not fit it goes to the other", "yes", low.WaitForRequest);
            low.Answer(1);
            x.Step("in", "0x1", () => x.Agent.Finish());
            high.Disable();
            x.Agent.Start(new AgentOrder(AgentWork.In, 0x514, Width: 4));
            x.Step("once the higher is disabled the lower has all", "yes", low.WaitForRequest);
            low.Answer(3);
            x.Step("in", "0x3", () => x.Agent.Finish());
        }),
        new("access.partly-claimed-is-nobody's", x =>
        {
            _ = new TestServer(x, x.Agent.Domid, IoRangeType.Port, 0x510, 0x511);
            x.Step("in(0x510, 4 bytes) of a claim of 2", "0xffffffff", () => Do(x.Agent, AgentWork.In, 0x510));
        }),
        new("access.written-frames-of-a-claimed-type", x =>
        {
            const ulong gfn = Machine.FreeGfn + 0x600;
            ushort domid = x.Agent.Domid;
            var server = new TestServer(x, domid, IoRangeType.Port, 0x510, 0x510);
            x.DmOp(domid, Dm.ClaimMemType(server.Id));
            x.Step("set_mem_type(ioreq_server)", "0", () => x.DmOp(domid, Dm.MemType(HvmOp.MemType.IoreqServer, gfn)));
            x.Step("a load", "0x0", () => Do(x.Agent, AgentWork.Load, gfn << 12));
            x.Agent.Start(new AgentOrder(AgentWork.Store, (gfn << 12) + 16, 0x77, Width: 4));
            x.Step("a store is a request", "yes", server.WaitForRequest);
            x.Step("type, size, count, direction", "Copy 4 1 write", () => Describe(server.Slot));
            server.Answer(0);
            x.Agent.Finish();
            x.Step("the frame is as it was", "0x0", () => Do(x.Agent, AgentWork.Load, (gfn << 12) + 16));
            x.Step("giving the type up", "0", () => x.DmOp(domid, Dm.ClaimMemType(server.Id, 0)));
        }),
        new("access.read-only-frames-swallow-writes", x =>
        {
            const ulong gfn = Machine.FreeGfn + 0x601;
            ushort domid = x.Agent.Domid;
            x.DmOp(domid, Dm.MemType(HvmOp.MemType.RamRo, gfn));
            x.Defer(() => x.DmOp(domid, Dm.MemType(HvmOp.MemType.RamRw, gfn)));
            x.Step("a store", "no", () =>
            {
                x.Agent.Start(new AgentOrder(AgentWork.Store, gfn << 12, 0x77, Width: 4));
                return x.Agent.Finish() is { Fault: not null } or { IsStopped: true };
            });
            x.Step("the load", "0x0", () => Do(x.Agent, AgentWork.Load, gfn << 12));
        }),
        new("access.ballooning-tells-servers", x =>
        {
            const ulong gfn = Machine.FreeGfn + 0x602;
            var server = new TestServer(x, x.Agent.Domid, IoRangeType.Port, 0x510, 0x510);
            x.Defer(() => x.Populate(x.Agent.Domid, gfn));
            ulong frames = x.Agent.Put(gfn);
            ulong reservation = x.Agent.Put(new MemoryOp.Reservation { ExtentStart = frames, NrExtents = 1, Domid = Domid.Self });
            x.Agent.Start(new AgentOrder(AgentWork.Hypercall, (ulong)Hypercall.MemoryOp, (ulong)MemoryOp.Command.DecreaseReservation, reservation));
            x.Step("the guest's decrease_reservation sends a request", "yes", server.WaitForRequest);
            x.Step("its type, size, count, direction", "Invalidate 4 0 write", () => Describe(server.Slot));
            server.Answer(0);
            x.Step("decrease_reservation", "0x1", () => x.Agent.Finish());
        }),
        new("scribble.answer-without-taking", x =>
        {
            var server = new TestServer(x, x.Agent.Domid, IoRangeType.Port, 0x510, 0x510);
            x.Agent.Start(new AgentOrder(AgentWork.In, 0x510, Width: 1));
            x.Step("the server has a request", "yes", server.WaitForRequest);
            server.Slot.Data = 0x42;
            server.Force(3);
            x.Step("READY to RESPONSE_READY in one step", "0x42", () => x.Agent.Finish());
        }),
        new("scribble.none-while-waiting", x =>
        {
            var server = new TestServer(x, x.Agent.Domid, IoRangeType.Port, 0x510, 0x510);
            x.Agent.Start(new AgentOrder(AgentWork.In, 0x510, Width: 1));
            x.Step("the server has a request", "yes", server.WaitForRequest);
            server.Force(0);
            x.Step("a slot set to NONE: all ones", "0xff", () => x.Agent.Finish());
        }),
        new("scribble.notify-before-answering", x =>
        {
            var server = new TestServer(x, x.Agent.Domid, IoRangeType.Port, 0x510, 0x510);
            x.Agent.Start(new AgentOrder(AgentWork.In, 0x510, Width: 1));
            x.Step("the server has a request", "yes", server.WaitForRequest);
            server.Notify();
            server.Notify();
            server.Answer(0x17);
            x.Step("in", "0x17", () => x.Agent.Finish());
        }),
        new("scribble.state-goes-back-while-the-cpu-sleeps", x =>
        {
            var server = new TestServer(x, x.Agent.Domid, IoRangeType.Port, 0x510, 0x510);
            x.Agent.Start(new AgentOrder(AgentWork.In, 0x510, Width: 1));
            x.Step("the server has a request", "yes", server.WaitForRequest);
            server.Force(2);
            TestServer.Pause(30);
            server.Force(1);
            TestServer.Pause(30);
            server.Answer(0x42);
            x.Step("IN_PROCESS, READY, then the answer", "0x42", () => x.Agent.Finish());
        }, "Xen 4.17 crashes a domain for a step back only when it sees it in one go; a virtual CPU that sleeps in between forgets the state it saw. Do not rely on it."),
        new("scribble.server-destroyed-while-asked", x =>
        {
            Agent agent = x.Own(x.Machine.CreateAgent());
            var server = new TestServer(x, agent.Domid, IoRangeType.Port, 0x510, 0x510);
            agent.Start(new AgentOrder(AgentWork.In, 0x510, Width: 1));
            x.Step("the server has a request", "yes", server.WaitForRequest);
            x.Step("destroy_ioreq_server", "0", () => x.DmOp(agent.Domid, Dm.Destroy(server.Id)));
            TestServer.Pause(300);
            x.Step("the guest's IN is done", "no", () => agent.IsDone);
            x.Machine.Destroy(agent.Domid);
            x.Step("after its toolstack destroyed the guest", "the domain is gone", () => agent.Finish());
        }, "Xen 4.17 never wakes a virtual CPU whose server is destroyed under its request. Answer it first."),
        new("scribble.state-that-is-none", x => Crash(x, (server, _) => server.Force(9))),
        new("scribble.port-overwritten-before-a-port-access", x => Broken(x, AgentWork.In, 0x510, server => server.Slot.VpEport++, "the domain is gone")),
        new("scribble.state-not-none-before-a-port-access", x => Broken(x, AgentWork.In, 0x510, server => server.Slot.State = IoreqState.InProcess, "the domain is gone")),
        new("scribble.port-overwritten-before-a-memory-access", x =>
        {
            var server = new TestServer(x, x.Agent.Domid, IoRangeType.Memory, Mmio, Mmio + 0xfff);
            server.Slot.VpEport++;
            x.Step("a load", "exception 13", () => Do(x.Agent, AgentWork.Load, Mmio));
            server.Slot.VpEport--;
        }),
    ];

    private static AgentAnswer Do(Agent agent, AgentWork work, ulong op, ulong value = 0, ulong width = 4)
    {
        agent.Start(new AgentOrder(work, op, value, Width: width));
        AgentAnswer answer = agent.Finish();
        return work is AgentWork.Out or AgentWork.Store && answer is { Fault: null, IsStopped: false } ? default : answer;
    }

    private static Outcome Describe(in Ioreq request) => $"{request.Type} {request.AccessSize} {request.Count} {(request.IsRead ? "read" : "write")}";

    // A guest of its own is asked to read a port, and its device model does the forbidden.
    private static void Crash(Run x, Action<TestServer, Agent> deed)
    {
        Agent agent = x.Own(x.Machine.CreateAgent());
        var server = new TestServer(x, agent.Domid, IoRangeType.Port, 0x510, 0x510);
        agent.Start(new AgentOrder(AgentWork.In, 0x510, Width: 1));
        x.Step("the server has a request", "yes", server.WaitForRequest);
        deed(server, agent);
        x.Step("in", "the domain is gone", () => agent.Finish());
    }

    private static void Broken(Run x, AgentWork work, ulong op, Action<TestServer> deed, string expected)
    {
        Agent agent = x.Own(x.Machine.CreateAgent());
        var server = new TestServer(x, agent.Domid, IoRangeType.Port, op, op + 3);
        deed(server);
        x.Step("in", expected, () => Do(agent, work, op));
    }
}
