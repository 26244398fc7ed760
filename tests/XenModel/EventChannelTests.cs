using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using Xunit;
using static XenModel.Tests.ModelFixture;

namespace XenModel.Tests;

public sealed class EventChannelInProcessTests() : EventChannelTests(overSocket: false);

public sealed class EventChannelOverSocketTests() : EventChannelTests(overSocket: true);

public abstract unsafe class EventChannelTests(bool overSocket) : KernelTests(overSocket)
{
    private const ulong SharedInfoGfn = 0x40000;

    [Fact]
    public void BindInterdomain_LeavesTheLocalPortPending()
    {
        using var model = New();
        uint remote = Open(model);
        uint local = model.Evtchn.BindInterdomain(model.Domid, remote);
        AssertPorts(model, local);
        Assert.Empty(Ports(model));
    }

    [Fact]
    public void Port_IsSilentUntilUnmasked()
    {
        using var model = New();
        uint remote = Open(model);
        uint local = model.Evtchn.BindInterdomain(model.Domid, remote);
        Ports(model);
        Assert.Equal(0, Send(model, remote));
        Assert.Equal(0, Send(model, remote));
        Assert.Empty(Ports(model));
        model.Evtchn.Unmask(local);
        AssertPorts(model, local);
        model.Evtchn.Unmask(local);
        Assert.Empty(Ports(model));
        Send(model, remote);
        AssertPorts(model, local);
    }

    [Fact]
    public void Close_MakesThePeerUnboundAgain_ForTheSameDomain()
    {
        using var model = New();
        uint remote = Open(model);
        uint local = model.Evtchn.BindInterdomain(model.Domid, remote);
        Assert.Equal(EventChannelOp.ChannelState.Interdomain, Status(model, remote).State);
        model.Evtchn.Unbind(local);
        EventChannelOp.Status status = Status(model, remote);
        Assert.Equal(EventChannelOp.ChannelState.Unbound, status.State);
        Assert.Equal(0, status.UnboundDom);
        Assert.Equal(0, Send(model, remote));
        Assert.Equal(local, model.Evtchn.BindInterdomain(model.Domid, remote));
    }

    [Fact]
    public void Dispose_OfTheDevice_UnbindsAll()
    {
        using var model = New();
        uint remote = Open(model);
        IEvtchn evtchn = model.Kernel.OpenEvtchn();
        evtchn.BindInterdomain(model.Domid, remote);
        evtchn.Dispose();
        Assert.Equal(EventChannelOp.ChannelState.Unbound, Status(model, remote).State);
    }

    [Fact]
    public void Device_WrongPorts_AnswerAsLinuxDoes()
    {
        using var model = New();
        uint remote = Open(model);
        Assert.Equal(22, Assert.Throws<XenException>(() => model.Evtchn.BindInterdomain(model.Domid, 999)).Errno);
        Assert.Equal(22, Assert.Throws<XenException>(() => model.Evtchn.BindInterdomain(model.Domid, remote + 1)).Errno);
        Assert.Equal(3, Assert.Throws<XenException>(() => model.Evtchn.BindInterdomain(500, remote)).Errno);
        Assert.Equal(Errno(XenErrno.ENOTCONN), model.Evtchn.Notify(5));
        Assert.Equal(107, Assert.Throws<XenException>(() => model.Evtchn.Unbind(5)).Errno);
        Assert.Equal(22, Assert.Throws<XenException>(() => model.Evtchn.Unbind(1 << 20)).Errno);
        Assert.Equal(22, Assert.Throws<XenException>(() => model.Evtchn.Restrict(0)).Errno);
        model.Evtchn.Restrict(model.Domid);
        Assert.Equal(13, Assert.Throws<XenException>(() => model.Evtchn.Restrict(model.Domid)).Errno);
        Assert.Equal(13, Assert.Throws<XenException>(() => model.Evtchn.BindVirq(Virq.DomExc)).Errno);
        Assert.Equal(13, Assert.Throws<XenException>(() => model.Evtchn.BindUnbound(model.Domid)).Errno);
        Assert.NotEqual(0u, model.Evtchn.BindInterdomain(model.Domid, remote));
    }

    [Fact]
    public void Op_WrongArguments_AnswerAsXenDoes()
    {
        using var model = New(vcpus: 2);
        Assert.Equal(Errno(XenErrno.EINVAL), Send(model, 0));
        Assert.Equal(Errno(XenErrno.EINVAL), Send(model, 4000));
        var close = new EventChannelOp.Close { Port = 77 };
        Assert.Equal(Errno(XenErrno.EINVAL), Op(model, EventChannelOp.Command.Close, ref close));
        var virq = new EventChannelOp.BindVirq { Virq = (Virq)24 };
        Assert.Equal(Errno(XenErrno.EINVAL), Op(model, EventChannelOp.Command.BindVirq, ref virq));
        virq = new EventChannelOp.BindVirq { Virq = Virq.DomExc, Vcpu = 1 };
        Assert.Equal(Errno(XenErrno.EINVAL), Op(model, EventChannelOp.Command.BindVirq, ref virq));
        virq = new EventChannelOp.BindVirq { Virq = Virq.Timer, Vcpu = 9 };
        Assert.Equal(Errno(XenErrno.ENOENT), Op(model, EventChannelOp.Command.BindVirq, ref virq));
        virq = new EventChannelOp.BindVirq { Virq = Virq.Timer, Vcpu = 1 };
        Assert.Equal(0, Op(model, EventChannelOp.Command.BindVirq, ref virq));
        Assert.Equal(Errno(XenErrno.EEXIST), Op(model, EventChannelOp.Command.BindVirq, ref virq));
        var ipi = new EventChannelOp.BindIpi { Vcpu = 9 };
        Assert.Equal(Errno(XenErrno.ENOENT), Op(model, EventChannelOp.Command.BindIpi, ref ipi));
        var priority = new EventChannelOp.SetPriority { Port = virq.Port, Priority = 3 };
        Assert.Equal(Errno(XenErrno.ENOSYS), Op(model, EventChannelOp.Command.SetPriority, ref priority));
        var expand = new EventChannelOp.ExpandArray { ArrayGfn = 1 };
        Assert.Equal(Errno(XenErrno.EOPNOTSUPP), Op(model, EventChannelOp.Command.ExpandArray, ref expand));
        Assert.Equal(Errno(XenErrno.ENOSYS), model.Vcpu.Hypercall(Hypercall.EventChannelOp, 99, ref expand));
        var unbound = new EventChannelOp.AllocUnbound { Dom = 0, RemoteDom = 0 };
        Assert.Equal(Errno(XenErrno.EPERM), Op(model, EventChannelOp.Command.AllocUnbound, ref unbound));
    }

    [Fact]
    public void Ports_RunOut()
    {
        using var model = New();
        var unbound = new EventChannelOp.AllocUnbound { Dom = Domid.Self, RemoteDom = 0 };
        uint last = 0;
        int result;
        while ((result = Op(model, EventChannelOp.Command.AllocUnbound, ref unbound)) == 0) last = unbound.Port;
        Assert.Equal(Errno(XenErrno.ENOSPC), result);
        Assert.Equal(1023u, last);
    }

    [Fact]
    public void TwoLevel_Event_SetsBitsInOrder()
    {
        using var model = New();
        byte* page = MapSharedInfo(model);
        uint remote = Open(model);
        uint local = model.Evtchn.BindInterdomain(model.Domid, remote);
        Assert.Equal(0, model.Evtchn.Notify(local));
        ulong bit = 1UL << (int)(remote % 64);
        var info = (SharedInfo.VcpuInfo*)page;
        Eventually(() => Volatile.Read(ref info->UpcallPending) != 0);
        Assert.NotEqual(0UL, ((ulong*)(page + SharedInfo.PendingOffset))[remote / 64] & bit);
        Assert.Equal(1UL << (int)(remote / 64), info->PendingSelector);
        Assert.Equal(1, info->UpcallPending);
        Assert.True(model.Vcpu.WaitForUpcall(TimeSpan.Zero));

        // Masked: pending and nothing else; unmask delivers.
        ((ulong*)(page + SharedInfo.PendingOffset))[remote / 64] = 0;
        info->PendingSelector = 0;
        info->UpcallPending = 0;
        ((ulong*)(page + SharedInfo.MaskOffset))[remote / 64] = bit;
        model.Evtchn.Notify(local);
        Eventually(() => (Volatile.Read(ref ((ulong*)(page + SharedInfo.PendingOffset))[remote / 64]) & bit) != 0);
        Assert.Equal(0, info->UpcallPending);
        var unmask = new EventChannelOp.Unmask { Port = remote };
        Assert.Equal(0, Op(model, EventChannelOp.Command.Unmask, ref unmask));
        Assert.Equal(1, info->UpcallPending);
    }

    [Fact]
    public void Fifo_EventsOfTwoPriorities_AreLinkedInTheirQueues()
    {
        using var model = New();
        MapSharedInfo(model);
        uint[] ports = [Open(model), Open(model), Open(model)];
        uint[] locals = [.. ports.Select(port => model.Evtchn.BindInterdomain(model.Domid, port))];
        var control = new EventChannelOp.InitControl { ControlGfn = 20, Offset = 64 };
        Assert.Equal(0, Op(model, EventChannelOp.Command.InitControl, ref control));
        Assert.Equal(17, control.LinkBits);
        Assert.Equal(Errno(XenErrno.EINVAL), Op(model, EventChannelOp.Command.InitControl, ref control));

        // Before its page of words exists, an event is remembered.
        model.Evtchn.Notify(locals[0]);
        Eventually(() => model.Guest.Events.Find(ports[0])!.Pending);
        var expand = new EventChannelOp.ExpandArray { ArrayGfn = 21 };
        Assert.Equal(0, Op(model, EventChannelOp.Command.ExpandArray, ref expand));
        var priority = new EventChannelOp.SetPriority { Port = ports[2], Priority = 2 };
        Assert.Equal(0, Op(model, EventChannelOp.Command.SetPriority, ref priority));
        priority.Priority = 16;
        Assert.Equal(Errno(XenErrno.EINVAL), Op(model, EventChannelOp.Command.SetPriority, ref priority));
        model.Evtchn.Notify(locals[1]);
        model.Evtchn.Notify(locals[2]);
        model.Evtchn.Notify(locals[1]);

        uint* block = (uint*)model.Guest.Memory.Pointer((20 << 12) + 64);
        uint* words = (uint*)model.Guest.Memory.Pointer(21 << 12);
        Eventually(() => Volatile.Read(ref block[0]) == (1u << 7 | 1u << 2));
        Assert.Equal(ports[2], block[2 + 2]);
        Assert.Equal(ports[0], block[2 + 7]);
        Assert.Equal(1u << EventFifo.PendingBit | 1u << EventFifo.LinkedBit | ports[1], words[ports[0]]);
        Assert.Equal(1u << EventFifo.PendingBit | 1u << EventFifo.LinkedBit, words[ports[1]]);
        Assert.Equal([ports[2], ports[0], ports[1]], ConsumeFifo(block, words));

        // Drained: the next event starts a queue anew.
        model.Evtchn.Notify(locals[1]);
        Eventually(() => Volatile.Read(ref block[0]) != 0);
        Assert.Equal([ports[1]], ConsumeFifo(block, words));
    }

    [Theory]
    [InlineData(0u, 4032u, 7u, XenErrno.ENOENT)]
    [InlineData(0u, 4032u, 0u, XenErrno.EINVAL)]
    [InlineData(0u, 4u, 0u, XenErrno.EINVAL)]
    [InlineData(0x50000u, 0u, 0u, XenErrno.EINVAL)]
    public void Fifo_BadControlBlock_IsRefused(uint gfn, uint offset, uint vcpu, XenErrno expected)
    {
        using var model = New();
        var control = new EventChannelOp.InitControl { ControlGfn = gfn, Offset = offset, Vcpu = vcpu };
        Assert.Equal(Errno(expected), Op(model, EventChannelOp.Command.InitControl, ref control));
    }

    [Fact]
    public void Fifo_GuestScribblesOnWords_XenSurvives()
    {
        using var model = New();
        MapSharedInfo(model);
        uint[] ports = [.. Enumerable.Range(0, 20).Select(_ => Open(model))];
        uint[] locals = [.. ports.Select(port => model.Evtchn.BindInterdomain(model.Domid, port))];
        var control = new EventChannelOp.InitControl { ControlGfn = 20 };
        Op(model, EventChannelOp.Command.InitControl, ref control);
        var expand = new EventChannelOp.ExpandArray { ArrayGfn = 21 };
        Op(model, EventChannelOp.Command.ExpandArray, ref expand);
        var random = new Random(7);
        byte* words = model.Guest.Memory.Pointer(21 << 12);
        byte* block = model.Guest.Memory.Pointer(20 << 12);
        for (int i = 0; i < 2000; i++)
        {
            random.NextBytes(new Span<byte>(words, 128));
            random.NextBytes(new Span<byte>(block, 72));
            Assert.Equal(0, model.Evtchn.Notify(locals[random.Next(locals.Length)]));
        }
    }

    [Fact]
    public void DelayedEvent_ArrivesWhenReleased()
    {
        using var model = New();
        uint remote = Open(model);
        uint local = model.Evtchn.BindInterdomain(model.Domid, remote);
        Ports(model);
        model.Evtchn.Unmask(local);
        model.Xen.Faults.DelayEvents(0, local);
        Send(model, remote);
        Assert.Empty(Ports(model));
        Assert.True(model.Xen.Faults.ReleaseEvents(0, local));
        AssertPorts(model, local);
        Assert.False(model.Xen.Faults.ReleaseEvents(0, local));
    }

    // What a guest does with a ready control block: queues by priority, heads, links.
    private static List<uint> ConsumeFifo(uint* block, uint* words)
    {
        var seen = new List<uint>();
        uint ready = Interlocked.Exchange(ref block[0], 0);
        for (int priority = 0; priority < 16; priority++)
        {
            uint port = (ready >> priority & 1) != 0 ? block[2 + priority] : 0;
            while (port != 0)
            {
                uint word = words[port];
                words[port] = word & ~(1u << EventFifo.LinkedBit | EventFifo.LinkMask);
                if ((word >> EventFifo.PendingBit & 1) != 0)
                {
                    words[port] &= ~(1u << EventFifo.PendingBit);
                    seen.Add(port);
                }

                port = word & EventFifo.LinkMask;
            }
        }

        return seen;
    }

    private static byte* MapSharedInfo(ModelFixture model)
    {
        var add = new MemoryOp.AddToPhysmap { Domid = Domid.Self, Space = MemoryOp.MapSpace.SharedInfo, Gpfn = SharedInfoGfn };
        Assert.Equal(0, model.Vcpu.Hypercall(Hypercall.MemoryOp, (uint)MemoryOp.Command.AddToPhysmap, ref add));
        return model.Guest.Memory.Pointer(SharedInfoGfn << 12);
    }

    private static int Op<T>(ModelFixture model, EventChannelOp.Command command, ref T argument)
        where T : unmanaged => model.Vcpu.Hypercall(Hypercall.EventChannelOp, (uint)command, ref argument);

    private static uint Open(ModelFixture model)
    {
        var open = new EventChannelOp.AllocUnbound { Dom = Domid.Self, RemoteDom = 0 };
        Assert.Equal(0, Op(model, EventChannelOp.Command.AllocUnbound, ref open));
        return open.Port;
    }

    private static int Send(ModelFixture model, uint port)
    {
        var send = new EventChannelOp.Send { Port = port };
        return Op(model, EventChannelOp.Command.Send, ref send);
    }

    private static EventChannelOp.Status Status(ModelFixture model, uint port)
    {
        var status = new EventChannelOp.Status { Dom = Domid.Self, Port = port };
        Assert.Equal(0, Op(model, EventChannelOp.Command.Status, ref status));
        return status;
    }

    // Over the socket, what is unmasked and signalled takes its time.
    private static void AssertPorts(ModelFixture model, params uint[] expected)
    {
        var seen = new List<uint>();
        Eventually(() =>
        {
            seen.AddRange(Ports(model));
            return seen.Count >= expected.Length;
        });
        Assert.Equal(expected, seen);
    }

    private static uint[] Ports(ModelFixture model)
    {
        Span<uint> ports = stackalloc uint[64];
        return ports[..model.Evtchn.ReadPorts(ports)].ToArray();
    }
}
