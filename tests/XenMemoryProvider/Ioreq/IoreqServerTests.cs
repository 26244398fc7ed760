using XenMemoryProvider.Abi;
using XenMemoryProvider.Events;
using XenMemoryProvider.Ioreq;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Tests.Fakes;
using Xunit;
using static VhostXen.Linux.LibC;
using IoreqSlot = XenMemoryProvider.Abi.Ioreq;

namespace XenMemoryProvider.Tests.Ioreq;

public sealed unsafe class IoreqServerTests : IDisposable
{
    private const ushort Guest = 7;

    private readonly FakeXen _xen = new();
    private readonly FakeEvtchn _evtchn = new();
    private readonly EventChannels _events;
    private readonly DeviceModel _model;
    private readonly List<DmOp.Command> _ops = [];
    private readonly Handler _handler = new();
    private uint _vcpus = 2;
    private int _opError;

    public IoreqServerTests()
    {
        _events = new EventChannels(_evtchn);
        _xen.OnDmOp = OnDmOp;
        _model = new DeviceModel(_xen.OpenPrivcmd(), Guest);
    }

    public void Dispose()
    {
        _events.Dispose();
        _xen.Dispose();
    }

    [Fact]
    public void Create_ThenEnable_MapsPagesBeforeAndBindsPortsAfterwards()
    {
        using IoreqServer server = IoreqServer.Create(_model, _events);
        Assert.Equal(0, _evtchn.Bound);
        server.MapPorts(0xcf8, 0xcff);
        server.Enable();

        Assert.Equal([DmOp.Command.NrVcpus, DmOp.Command.CreateIoreqServer, DmOp.Command.MapIoRangeToIoreqServer, DmOp.Command.SetIoreqServerState], _ops);
        Assert.Contains("resource IoreqServer 3 1 1", _xen.Log);
        Assert.Equal((3, 2, 2), (server.Id, server.VcpuCount, _evtchn.Bound));
    }

    [Fact]
    public void Enable_Again_BindsNothingTwice()
    {
        using IoreqServer server = Enabled();
        server.Disable();
        server.Enable();

        Assert.Equal(2, _evtchn.Bound);
    }

    [Fact]
    public void Create_MoreThan128Vcpus_MapsTwoPages()
    {
        _vcpus = 129;
        using IoreqServer server = Enabled();

        Assert.Contains("resource IoreqServer 3 1 2", _xen.Log);
        Slot(128)->Addr = 5;
        Ask(128, new IoreqSlot { Type = IoreqType.Pio, AccessSize = 1, Count = 1, IsRead = true });
        Assert.True(server.Serve(_evtchn.PortOf(1128), _handler));
        Assert.Equal(128, _handler.Last.Vcpu);
    }

    [Fact]
    public void Create_PagesRefused_DestroysTheServer()
    {
        _xen.MapResourceError = EINVAL;

        Assert.Throws<XenException>(() => IoreqServer.Create(_model, _events));
        Assert.Equal(DmOp.Command.DestroyIoreqServer, _ops[^1]);
    }

    [Fact]
    public void Dispose_DestroysInOrderAndUnbinds()
    {
        IoreqServer server = Enabled();
        _ops.Clear();
        server.Dispose();
        server.Dispose();

        Assert.Equal([DmOp.Command.SetIoreqServerState, DmOp.Command.DestroyIoreqServer], _ops);
        Assert.Equal((0, 0), (_evtchn.Bound, _xen.LiveMappings));
        Assert.Equal(0, server.ServeAll(_handler));
    }

    [Fact]
    public void Dispose_AnswersWhoWaits()
    {
        IoreqServer server = Enabled();
        Ask(0, new IoreqSlot { Type = IoreqType.Pio, AccessSize = 4, Count = 1, IsRead = true });
        Ask(1, new IoreqSlot { Type = IoreqType.Pio, AccessSize = 4, Count = 1, IsRead = true });
        Slot(1)->State = IoreqState.InProcess;
        uint first = _evtchn.PortOf(1000), second = _evtchn.PortOf(1001);

        server.Dispose();

        Assert.Equal((IoreqState.ResponseReady, ulong.MaxValue), (Slot(0)->State, Slot(0)->Data));
        Assert.Equal((IoreqState.ResponseReady, ulong.MaxValue), (Slot(1)->State, Slot(1)->Data));
        Assert.Equal((1, 1), (_evtchn.Notified[first], _evtchn.Notified[second]));
    }

    [Fact]
    public void Dispose_DomainGone_DoesNotThrow()
    {
        IoreqServer server = Enabled();
        _opError = -ESRCH;

        server.Dispose();

        Assert.Equal((0, 0), (_evtchn.Bound, _xen.LiveMappings));
    }

    [Fact]
    public void Serve_Read_AnswersAndNotifiesAndKeepsTheOtherBits()
    {
        using IoreqServer server = Enabled();
        Ask(1, new IoreqSlot { Type = IoreqType.Copy, Addr = 0xfc000050, AccessSize = 4, Count = 1, IsRead = true, Descending = true, Data = 9 });
        _handler.Value = 0x74726976;

        Assert.True(server.Serve(_evtchn.PortOf(1001), _handler));

        IoreqSlot answered = *Slot(1);
        Assert.Equal((IoreqState.ResponseReady, 0x74726976UL, true, true), (answered.State, answered.Data, answered.IsRead, answered.Descending));
        Assert.Equal(1, _evtchn.Notified[_evtchn.PortOf(1001)]);
        Assert.Equal(new IoRequest(1, IoreqType.Copy, 0xfc000050, 9, 4, 1, true, false, true), _handler.Last);
    }

    [Fact]
    public void Serve_HandlerRuns_WhileSlotIsInProcess()
    {
        using IoreqServer server = Enabled();
        Ask(0, new IoreqSlot { Type = IoreqType.Pio, Addr = 0xcf8, AccessSize = 4, Count = 1, Data = 0x80000000 });
        IoreqState during = default;
        _handler.OnHandle = _ => during = Slot(0)->State;

        server.ServeAll(_handler);

        Assert.Equal((IoreqState.InProcess, IoreqState.ResponseReady, 0x80000000UL), (during, Slot(0)->State, Slot(0)->Data));
    }

    [Theory]
    [InlineData(IoreqState.None)]
    [InlineData(IoreqState.InProcess)]
    [InlineData(IoreqState.ResponseReady)]
    [InlineData((IoreqState)9)]
    public void Serve_NotReady_TouchesNothing(IoreqState state)
    {
        using IoreqServer server = Enabled();
        Ask(0, new IoreqSlot { Type = IoreqType.Pio, AccessSize = 4, Count = 1 });
        Slot(0)->State = state;

        Assert.True(server.Serve(_evtchn.PortOf(1000), _handler));

        Assert.Equal((state, 0, 0), (Slot(0)->State, _handler.Calls, _evtchn.Notified.Count));
    }

    [Fact]
    public void Serve_OtherPort_IsNotOurs()
    {
        using IoreqServer server = Enabled();

        Assert.False(server.Serve(_events.BindUnbound(Guest), _handler));
    }

    [Theory]
    [InlineData(IoreqType.Pio, 3, 1)]
    [InlineData(IoreqType.Pio, 0, 1)]
    [InlineData(IoreqType.Copy, 16, 1)]
    [InlineData(IoreqType.Copy, 0x80000000, 1)]
    [InlineData(IoreqType.Copy, 4, 0)]
    [InlineData(IoreqType.Copy, 4, 4097)]
    [InlineData(IoreqType.PciConfig, 4, 2)]
    [InlineData((IoreqType)3, 4, 1)]
    [InlineData((IoreqType)255, 4, 1)]
    public void Serve_MalformedRead_ReadsAllOnesAndIsCounted(IoreqType type, uint size, uint count)
    {
        using IoreqServer server = Enabled();
        Ask(0, new IoreqSlot { Type = type, AccessSize = size, Count = count, IsRead = true });

        Assert.Equal(1, server.ServeAll(_handler));

        Assert.Equal((0, 1L, ulong.MaxValue, IoreqState.ResponseReady), (_handler.Calls, server.Malformed, Slot(0)->Data, Slot(0)->State));
    }

    [Fact]
    public void Serve_Invalidate_IsARequestLikeAnyOther()
    {
        using IoreqServer server = Enabled();
        Ask(0, new IoreqSlot { Type = IoreqType.Invalidate, AccessSize = 4, Data = ulong.MaxValue });

        server.ServeAll(_handler);

        Assert.Equal((IoreqType.Invalidate, IoreqState.ResponseReady), (_handler.Last.Type, Slot(0)->State));
    }

    [Fact]
    public void Serve_RandomPage_NeverThrowsNorMovesAStateBack()
    {
        using IoreqServer server = Enabled();
        var random = new Random(5);
        for (int round = 0; round < 20_000; round++)
        {
            random.NextBytes(new Span<byte>(Slot(0), 64));
            if (round % 2 == 0) (Slot(1)->AccessSize, Slot(1)->Count, Slot(1)->Type) = (1u << random.Next(6), (uint)random.Next(6000), (IoreqType)random.Next(10));
            IoreqState[] before = [Slot(0)->State, Slot(1)->State];

            server.ServeAll(_handler);

            for (int vcpu = 0; vcpu < 2; vcpu++)
                Assert.Equal(before[vcpu] == IoreqState.Ready ? IoreqState.ResponseReady : before[vcpu], Slot(vcpu)->State);
        }
        Assert.Equal(server.Requests, server.Malformed + _handler.Calls);
        Assert.NotEqual(0, _handler.Calls);
    }

    [Fact]
    public void Serve_StateScribbledMeanwhile_IsLeftAloneAndCounted()
    {
        using IoreqServer server = Enabled();
        Ask(0, new IoreqSlot { Type = IoreqType.Pio, AccessSize = 4, Count = 1 });
        _handler.OnHandle = _ => Slot(0)->State = IoreqState.None;

        server.ServeAll(_handler);

        Assert.Equal((IoreqState.None, 1L), (Slot(0)->State, server.Lost));
    }

    [Fact]
    public void Serve_HandlerThrows_GuestReadsAllOnes()
    {
        using IoreqServer server = Enabled();
        Ask(0, new IoreqSlot { Type = IoreqType.Pio, AccessSize = 4, Count = 1, IsRead = true });
        _handler.OnHandle = _ => throw new InvalidOperationException("a bug");

        Assert.Throws<InvalidOperationException>(() => server.ServeAll(_handler));

        Assert.Equal((IoreqState.ResponseReady, ulong.MaxValue), (Slot(0)->State, Slot(0)->Data));
    }

    [Fact]
    public void Complete_LaterFromAnotherThread_AnswersOnce()
    {
        using IoreqServer server = Enabled();
        Ask(0, new IoreqSlot { Type = IoreqType.Pio, AccessSize = 4, Count = 1, IsRead = true });
        _handler.Later = true;
        server.ServeAll(_handler);
        Assert.Equal(IoreqState.InProcess, Slot(0)->State);

        // Xen would crash the guest for this one; it is not taken while the first is open.
        Slot(0)->State = IoreqState.Ready;
        Assert.Equal(0, server.ServeAll(_handler));
        Slot(0)->State = IoreqState.InProcess;

        bool[] answered = new bool[2];
        var thread = new Thread(() => answered[0] = server.Complete(0, 42));
        thread.Start();
        thread.Join();
        answered[1] = server.Complete(0, 43);

        Assert.Equal((true, false), (answered[0], answered[1]));
        Assert.Equal((IoreqState.ResponseReady, 42UL), (Slot(0)->State, Slot(0)->Data));
    }

    [Fact]
    public void Complete_AfterDispose_IsNothing()
    {
        IoreqServer server = Enabled();
        Ask(0, new IoreqSlot { Type = IoreqType.Pio, AccessSize = 4, Count = 1, IsRead = true });
        _handler.Later = true;
        server.ServeAll(_handler);
        server.Dispose();

        Assert.False(server.Complete(0, 42));
    }

    [Fact]
    public void Serve_SteadyState_AllocatesNothing()
    {
        using IoreqServer server = Enabled();
        uint port = _evtchn.PortOf(1000);
        long before = 0;
        for (int i = 0; i < 2_000; i++)
        {
            if (i == 1_000) before = GC.GetAllocatedBytesForCurrentThread();
            Ask(0, new IoreqSlot { Type = IoreqType.Copy, AccessSize = 4, Count = 1 });
            server.Serve(port, _handler);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void Request_Repetitions_StepWhereMemoryDoes()
    {
        var up = new IoRequest(0, IoreqType.Copy, 0x1000, 0x2000, 4, 3, false, true, false);
        var down = up with { Descending = true };
        var port = up with { Type = IoreqType.Pio };

        Assert.Equal((0x1008UL, 0x2008UL), (up.AddressAt(2), up.PointerAt(2)));
        Assert.Equal((0xff8UL, 0x1ff8UL), (down.AddressAt(2), down.PointerAt(2)));
        Assert.Equal((0x1000UL, 0x2008UL), (port.AddressAt(2), port.PointerAt(2)));
        Assert.Equal(0xffUL, (up with { Size = 1, Data = ulong.MaxValue }).Value);
        Assert.Equal(ulong.MaxValue, (up with { Size = 8, Data = ulong.MaxValue }).Value);
        var pci = up with { Type = IoreqType.PciConfig, Address = (ulong)DmOp.PciSbdf(0, 0, 5, 1) << 32 | 0x3e };
        Assert.Equal((DmOp.PciSbdf(0, 0, 5, 1), 0x3e), (pci.PciSbdf, pci.PciRegister));
    }

    private IoreqServer Enabled()
    {
        IoreqServer server = IoreqServer.Create(_model, _events);
        server.Enable();
        return server;
    }

    private IoreqSlot* Slot(int vcpu) => (IoreqSlot*)_xen.Slots.Pointer + vcpu;

    private void Ask(int vcpu, IoreqSlot request)
    {
        request.VpEport = Slot(vcpu)->VpEport;
        request.State = IoreqState.Ready;
        *Slot(vcpu) = request;
    }

    private int OnDmOp(ushort domid, ref DmOp.Call call, Span<byte> extra)
    {
        _ops.Add(call.Op);
        if (_opError != 0) return _opError;
        switch (call.Op)
        {
            case DmOp.Command.NrVcpus:
                call.NrVcpus.Vcpus = _vcpus;
                break;
            case DmOp.Command.CreateIoreqServer:
                Assert.Equal(DmOp.BufferedIoreq.Off, call.CreateIoreqServer.HandleBufioreq);
                call.CreateIoreqServer.Id = 3;
                break;
            case DmOp.Command.SetIoreqServerState:
                for (int vcpu = 0; vcpu < _vcpus; vcpu++) Slot(vcpu)->VpEport = 1000 + (uint)vcpu;
                break;
        }
        return 0;
    }

    private sealed class Handler : IIoreqHandler
    {
        public IoRequest Last { get; private set; }

        public int Calls { get; private set; }

        public ulong Value { get; set; }

        public bool Later { get; set; }

        public Action<IoRequest>? OnHandle { get; set; }

        public bool Handle(in IoRequest request, out ulong value)
        {
            Last = request;
            Calls++;
            value = Value;
            OnHandle?.Invoke(request);
            return !Later;
        }
    }
}
