using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace Conformance.Scripts;

/// <summary>A device model that does what a script says, right or wrong: one server, the slot of virtual CPU 0 and its port.</summary>
internal sealed unsafe class TestServer
{
    private const int Patience = 10_000;

    private readonly Run _run;
    private readonly ushort _domid;
    private readonly XenMapping _page;
    private readonly IEvtchn _events;
    private readonly uint _port;

    public TestServer(Run run, ushort domid, DmOp.IoRangeType type, ulong start, ulong end)
    {
        _run = run;
        _domid = domid;
        Id = run.NewServer(domid);
        _page = run.MapServer(domid, Id, MemoryOp.IoreqServerFrameIoreq);
        XenException.Check(run.DmOp(domid, Dm.Map(Id, type, start, end)), "map_io_range", domid);
        XenException.Check(run.DmOp(domid, Dm.Enable(Id)), "set_ioreq_server_state", domid);
        _events = run.Own(run.Machine.Kernel.OpenEvtchn());
        _port = _events.BindInterdomain(domid, Slot.VpEport);
    }

    public ushort Id { get; }

    public ref Ioreq Slot => ref *(Ioreq*)_page.Pointer;

    /// <summary>Waits for a request.</summary>
    /// <returns>Was there one in time?</returns>
    public Outcome WaitForRequest()
    {
        Span<uint> ports = stackalloc uint[8];
        for (int tries = 0; tries < 4; tries++)
        {
            if (Ioreq.StateOf(ref Slot.Bits) == IoreqState.Ready) return true;
            if (!Run.IsReadable(_events, Patience)) return false;
            int count = _events.ReadPorts(ports);
            _events.Unmask(ports[..count]);
        }

        return Ioreq.StateOf(ref Slot.Bits) == IoreqState.Ready;
    }

    /// <summary>Takes it, answers it.</summary>
    public void Answer(ulong data)
    {
        Ioreq.TryMove(ref Slot.Bits, IoreqState.Ready, IoreqState.InProcess);
        Slot.Data = data;
        Ioreq.TryMove(ref Slot.Bits, IoreqState.InProcess, IoreqState.ResponseReady);
        _events.Notify(_port);
    }

    /// <summary>Writes a state, whatever it is, and notifies.</summary>
    public void Force(int state)
    {
        Volatile.Write(ref Slot.Bits, (byte)(Slot.Bits & ~15 | state));
        _events.Notify(_port);
    }

    /// <summary>Lets the guest run for a while: nothing else says that its virtual CPU has looked.</summary>
    public static void Pause(int milliseconds) => VhostXen.Linux.LibC.poll(null, 0, milliseconds);

    /// <summary>Notifies, and nothing else.</summary>
    public void Notify() => _events.Notify(_port);

    public void Disable() => _run.DmOp(_domid, Dm.Enable(Id, false));
}
