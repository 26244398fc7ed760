using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using Xunit;
using IoreqSlot = XenMemoryProvider.Abi.Ioreq;

namespace XenModel.Tests;

/// <summary>A device model as a real one is written, on a thread of its own: resource, ports, states.</summary>
internal sealed unsafe class TestDeviceModel : IDisposable
{
    private readonly IXenKernel _kernel;
    private readonly ushort _domid;
    private readonly IPrivcmd _privcmd;
    private readonly IEvtchn _evtchn;
    private readonly XenMapping _page;
    private readonly EventFd _stop = EventFd.Create();
    private readonly Dictionary<uint, int> _vcpuOfPort = [];
    private readonly Func<IoreqSlot, ulong> _answer;
    private Thread? _thread;

    /// <param name="answer">The value that a read gets.</param>
    public TestDeviceModel(IXenKernel kernel, ushort domid, Func<IoreqSlot, ulong> answer, bool buffered = false)
    {
        _kernel = kernel;
        _domid = domid;
        _answer = answer;
        _privcmd = kernel.OpenPrivcmd();
        _evtchn = kernel.OpenEvtchn();
        var create = new DmOp.Call { Op = DmOp.Command.CreateIoreqServer };
        create.CreateIoreqServer.HandleBufioreq = buffered ? DmOp.BufferedIoreq.Atomic : DmOp.BufferedIoreq.Off;
        Assert.Equal(0, _privcmd.DmOp(domid, ref create));
        Id = create.CreateIoreqServer.Id;
        _page = _privcmd.MapResource(domid, MemoryOp.ResourceType.IoreqServer, Id, buffered ? 0u : 1u, buffered ? 2 : 1);
    }

    public ushort Id { get; }

    public List<IoreqSlot> Seen { get; } = [];

    public IoreqSlot* Slots => (IoreqSlot*)(_page.Pointer + _page.Length - 4096);

    /// <summary>The first dwords of the buffered page: read pointer, write pointer, slots.</summary>
    public Span<uint> Buffered => new(_page.Pointer, 1024);

    public ref IoreqSlot Slot(int vcpu = 0) => ref Slots[vcpu];

    public int Claim(DmOp.IoRangeType type, ulong start, ulong end)
    {
        var call = new DmOp.Call { Op = DmOp.Command.MapIoRangeToIoreqServer };
        call.MapIoRange = new DmOp.IoreqServerRange { Id = Id, Type = type, Start = start, End = end };
        return _privcmd.DmOp(_domid, ref call);
    }

    public void Enable(bool enabled = true)
    {
        var call = new DmOp.Call { Op = DmOp.Command.SetIoreqServerState };
        call.SetIoreqServerState = new DmOp.SetIoreqServerState { Id = Id, Enabled = enabled ? (byte)1 : (byte)0 };
        Assert.Equal(0, _privcmd.DmOp(_domid, ref call));
    }

    /// <summary>Enables the server, binds the ports and serves.</summary>
    public TestDeviceModel Start(int vcpus = 1)
    {
        Enable();
        for (int vcpu = 0; vcpu < vcpus; vcpu++) _vcpuOfPort[_evtchn.BindInterdomain(_domid, Slots[vcpu].VpEport)] = vcpu;
        _thread = new Thread(Serve) { IsBackground = true, Name = "device model" };
        _thread.Start();
        return this;
    }

    public int Destroy()
    {
        var call = new DmOp.Call { Op = DmOp.Command.DestroyIoreqServer };
        call.DestroyIoreqServer.Id = Id;
        return _privcmd.DmOp(_domid, ref call);
    }

    public void Dispose()
    {
        _stop.Signal();
        _thread?.Join();
        _page.Dispose();
        _evtchn.Dispose();
        _privcmd.Dispose();
        _stop.Dispose();
    }

    private void Serve()
    {
        using var epoll = new Epoll();
        epoll.Add(_evtchn.Descriptor, LibC.EPOLLIN, 0);
        epoll.Add(_stop.Handle, LibC.EPOLLIN, 1);
        Span<uint> ports = stackalloc uint[16];
        var events = new epoll_event[2];
        while (true)
        {
            int ready = epoll.Wait(events, -1);
            for (int i = 0; i < ready; i++)
            {
                if (events[i].data == 1) return;
            }

            int count = _evtchn.ReadPorts(ports);
            for (int i = 0; i < count; i++)
            {
                _evtchn.Unmask(ports[i]);
                ServeOne(ref Slots[_vcpuOfPort[ports[i]]], ports[i]);
            }
        }
    }

    private void ServeOne(ref IoreqSlot slot, uint port)
    {
        if (!IoreqSlot.TryMove(ref slot.Bits, IoreqState.Ready, IoreqState.InProcess)) return;
        IoreqSlot request = slot;
        lock (Seen) Seen.Add(request);
        ulong answer = _answer(request);
        if (request.IsRead && !request.DataIsPointer) slot.Data = answer;
        Assert.True(IoreqSlot.TryMove(ref slot.Bits, IoreqState.InProcess, IoreqState.ResponseReady));
        _evtchn.Notify(port);
    }
}
