using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Events;
using XenMemoryProvider.Ioreq;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Store;
using XenModel.Domains;
using XenModel.Store;
using Xunit;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Tests.OnModel;

/// <summary>Virtual CPUs that really wait, in a Xen that crashes the domain for a wrong step.</summary>
public sealed class IoreqOnModelTests : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly ModelGuest _guest = new(vcpus: 4);
    private readonly IPrivcmd _privcmd;
    private readonly EventChannels _events;
    private readonly DeviceModel _model;

    public IoreqOnModelTests()
    {
        _privcmd = _guest.Kernel.OpenPrivcmd();
        _privcmd.Restrict(_guest.Id);
        _model = new DeviceModel(_privcmd, _guest.Id);
        _events = new EventChannels(_guest.Kernel.OpenEvtchn());
        _events.Restrict(_guest.Id);
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _events.Dispose();
        _privcmd.Dispose();
        _guest.Dispose();
    }

    [Fact]
    public void Serve_EveryKindOfAccess_IsAnswered()
    {
        using IoreqServer server = IoreqServer.Create(_model, _events);
        server.MapPorts(0x100, 0x107);
        server.MapMemory(0xfe000000, 0xfe000fff);
        server.MapPci(DmOp.PciSbdf(0, 0, 3, 0));
        server.Enable();
        using var loop = new Loop(server, _events, request => request.Type switch
        {
            IoreqType.Pio => request.Address * 3,
            IoreqType.Copy => 0x1122334455667788,
            _ => (ulong)request.PciRegister,
        });

        VcpuAt(0, vcpu =>
        {
            Assert.Equal(0x300u, vcpu.Io.PortRead(0x100, 2));
            vcpu.Io.PortWrite(0x104, 1, 0xffff);
            Assert.Equal(0x1122334455667788UL, vcpu.Io.MmioRead(0xfe000010, 8));
            vcpu.Io.MmioWrite(0xfe000010, 4, 0xaabbccdd);
            Assert.Equal(0x12u, vcpu.Io.ConfigRead(0, 3, 0, 0x12, 2));
            vcpu.Io.MmioFill(0xfe000020, 4, 5, 7);
        });

        Assert.Equal(6, loop.Seen.Count);
        Assert.Equal((0xffUL, 0xaabbccddUL), (loop.Seen[1].Value, loop.Seen[3].Value));
        Assert.Equal((5, 0xfe000030UL), (loop.Seen[5].Count, loop.Seen[5].AddressAt(4)));
        Assert.Equal(6, server.Requests);
    }

    [Fact]
    public void Serve_FourCpusAtOnce_EachGetsItsOwnAnswer()
    {
        using IoreqServer server = IoreqServer.Create(_model, _events);
        server.MapMemory(0xfe000000, 0xfe00ffff);
        server.Enable();
        using var loop = new Loop(server, _events, request => request.Address ^ (ulong)request.Vcpu << 40);
        var wrong = 0;
        Thread[] cpus = [.. Enumerable.Range(0, 4).Select(id => new Thread(() =>
        {
            for (uint i = 0; i < 500; i++)
            {
                ulong address = 0xfe000000 + (i * 8);
                if (_guest.Domain.Vcpus[id].Io.MmioRead(address, 8) != (address ^ (ulong)id << 40)) Interlocked.Increment(ref wrong);
            }
        }))];
        Array.ForEach(cpus, static cpu => cpu.Start());
        Assert.All(cpus, cpu => Assert.True(cpu.Join(Deadline)));

        Assert.Equal((0, 2000L, 0L), (wrong, server.Requests, server.Lost));
        Assert.Null(_guest.Domain.Shutdown);
    }

    [Fact]
    public void Serve_AnsweredLater_TheOtherCpuGoesOnMeanwhile()
    {
        using IoreqServer server = IoreqServer.Create(_model, _events);
        server.MapPorts(0x100, 0x101);
        server.Enable();
        using var opened = new ManualResetEventSlim();
        using var loop = new Loop(server, _events, request =>
        {
            if (request.Address != 0x100) return 5;
            opened.Set();
            return null;
        });
        uint late = 0;
        var waiting = new Thread(() => late = _guest.Domain.Vcpus[0].Io.PortRead(0x100, 1));
        waiting.Start();
        Assert.True(opened.Wait(Deadline, Cancel));

        VcpuAt(1, vcpu => Assert.Equal(5u, vcpu.Io.PortRead(0x101, 1)));
        Assert.True(waiting.IsAlive);
        Assert.True(SpinWait.SpinUntil(() => server.Complete(0, 0x77), Deadline));

        Assert.True(waiting.Join(Deadline));
        Assert.Equal(0x77u, late);
    }

    [Fact]
    public void Serve_GuestGivesPagesUp_InvalidateArrives()
    {
        using IoreqServer server = IoreqServer.Create(_model, _events);
        server.Enable();
        using var loop = new Loop(server, _events, _ => 0);

        VcpuAt(0, _ => Assert.Equal(1, _guest.Balloon(0x40)));

        Assert.Contains(loop.Seen, request => request.Type == IoreqType.Invalidate);
    }

    [Fact]
    public void Domain_DestroyedInMidRequest_ServerEndsQuietly()
    {
        IoreqServer server = IoreqServer.Create(_model, _events);
        server.MapPorts(0x100, 0x100);
        server.Enable();
        using var opened = new ManualResetEventSlim();
        using (var loop = new Loop(server, _events, _ =>
        {
            opened.Set();
            return null;
        }))
        {
            var cpu = new Thread(() => Record.Exception(() => _guest.Domain.Vcpus[0].Io.PortRead(0x100, 1)));
            cpu.Start();
            Assert.True(opened.Wait(Deadline, Cancel));
            Assert.True(_guest.Xen.DestroyDomain(_guest.Id));
            Assert.True(cpu.Join(Deadline));
            server.Complete(0, 1);
        }

        server.Dispose();
        Assert.Equal(-ESRCH, _model.InjectMsi(0xfee00000, 0x41));
        Assert.DoesNotContain(_guest.Xen.Domains, domain => domain.Id == _guest.Id);
    }

    [Fact]
    public void Create_NinthServer_IsRefusedAndTheOthersLive()
    {
        var servers = new List<IoreqServer>();
        for (int i = 0; i < 8; i++) servers.Add(IoreqServer.Create(_model, _events));

        Assert.Equal(ENOSPC, Assert.Throws<XenException>(() => IoreqServer.Create(_model, _events)).Errno);
        Assert.Equal(Enumerable.Range(0, 8).Select(id => (ushort)id), IoreqServerLedger.Find(_model));
        servers.ForEach(static server => server.Dispose());
        Assert.Empty(IoreqServerLedger.Find(_model));
    }

    [Fact]
    public async Task Ledger_DeadProcess_LeavesOneServerAndOnlyThatIsDestroyed()
    {
        await using var daemon = new XenStoreDaemon(_guest.Xen);
        await using var store = new XenStore(daemon.Connect(0));
        await store.WriteAsync($"/local/domain/{_guest.Id}/vm", "/vm/1234", Cancel);
        var ledger = new IoreqServerLedger(store);
        _model.CreateIoreqServer(DmOp.BufferedIoreq.Atomic); // QEMU's.
        IoreqServer ours = IoreqServer.Create(_model, _events);
        await ledger.RecordAsync(ours, Cancel);
        Assert.Equal([0, 1], IoreqServerLedger.Find(_model));

        // The process dies here; another begins.
        Assert.Equal((ushort)1, await ledger.DestroyLeftoverAsync(_model, Cancel));

        Assert.Equal([0], IoreqServerLedger.Find(_model));
        Assert.Null(await ledger.DestroyLeftoverAsync(_model, Cancel));
    }

    [Fact]
    public async Task Ledger_EntryOfAnotherGuestWithThisNumber_DestroysNothing()
    {
        await using var daemon = new XenStoreDaemon(_guest.Xen);
        await using var store = new XenStore(daemon.Connect(0));
        await store.WriteAsync($"/local/domain/{_guest.Id}/vm", "/vm/1234", Cancel);
        var ledger = new IoreqServerLedger(store);
        using IoreqServer server = IoreqServer.Create(_model, _events);
        await ledger.RecordAsync(server, Cancel);
        await store.WriteAsync($"/local/domain/{_guest.Id}/vm", "/vm/5678", Cancel);

        Assert.Null(await ledger.DestroyLeftoverAsync(_model, Cancel));
        Assert.Single(IoreqServerLedger.Find(_model));
        await ledger.ForgetAsync(_guest.Id, Cancel);
    }

    private void VcpuAt(int id, Action<Vcpu> action)
    {
        Exception? failure = null;
        var thread = new Thread(() => failure = Record.Exception(() => action(_guest.Domain.Vcpus[id])));
        thread.Start();
        Assert.True(thread.Join(Deadline), "the virtual CPU waits for ever");
        if (failure is not null) throw new InvalidOperationException(failure.Message, failure);
    }

    /// <summary>A serving thread as a master has it.</summary>
    private sealed class Loop : IIoreqHandler, IDisposable
    {
        private readonly IoreqServer _server;
        private readonly EventChannels _events;
        private readonly Func<IoRequest, ulong?> _answer;
        private readonly Epoll _epoll = new();
        private readonly EventFd _stop = EventFd.Create();
        private readonly Thread _thread;

        public Loop(IoreqServer server, EventChannels events, Func<IoRequest, ulong?> answer)
        {
            _server = server;
            _events = events;
            _answer = answer;
            _events.AddTo(_epoll, 0);
            _epoll.Add(_stop.Handle, EPOLLIN, 1);
            _thread = new Thread(Run) { IsBackground = true };
            _thread.Start();
        }

        public List<IoRequest> Seen { get; } = [];

        public bool Handle(in IoRequest request, out ulong value)
        {
            lock (Seen) Seen.Add(request);
            ulong? answer = _answer(request);
            value = answer.GetValueOrDefault();
            return answer is not null;
        }

        public void Dispose()
        {
            _stop.Signal();
            _thread.Join();
            _epoll.Dispose();
            _stop.Dispose();
        }

        private void Run()
        {
            Span<epoll_event> ready = stackalloc epoll_event[2];
            Span<uint> ports = stackalloc uint[16];
            _server.ServeAll(this);
            while (true)
            {
                int count = _epoll.Wait(ready, -1);
                for (int i = 0; i < count; i++)
                {
                    if (ready[i].data == 1) return;
                }
                for (int taken; (taken = _events.Take(ports)) != 0;)
                {
                    foreach (uint port in ports[..taken]) _server.Serve(port, this);
                }
            }
        }
    }
}
