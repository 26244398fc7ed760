using System.Diagnostics;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace Conformance.Machines;

/// <summary>The agent of a real Xen: hypervisor/lab/suites/conformance/agent.S, which takes orders from its mailbox page.</summary>
internal sealed unsafe class XenAgent : Agent
{
    private const ulong MailboxGfn = 0x180;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly IPrivcmd _privcmd;
    private readonly IEvtchn _evtchn;
    private readonly XenMapping _page;
    private readonly uint _port;
    private bool _gone;
    private int _asked;

    /// <summary>Takes over a guest that runs. It sleeps from now on while it has no order.</summary>
    /// <exception cref="XenException">As Xen says.</exception>
    public XenAgent(IPrivcmd privcmd, IEvtchn evtchn, ushort domid)
        : base(privcmd, domid)
    {
        _privcmd = privcmd;
        _evtchn = evtchn;
        int[] errors = new int[1];
        _page = privcmd.MapForeign(domid, [MailboxGfn], 3, errors, TimeSpan.Zero);
        Wait(() => Volatile.Read(ref Box->Alive) == 1, "the agent does not run");

        var alloc = new EventChannelOp.AllocUnbound { Dom = domid, RemoteDom = 0 };
        XenException.Check(privcmd.EventChannelOp(EventChannelOp.Command.AllocUnbound, ref alloc), "alloc_unbound", domid);
        _port = evtchn.BindInterdomain(domid, alloc.Port);
        Volatile.Write(ref Box->Port, alloc.Port);
    }

    public override bool IsAlive => !IsGone(now: true);

    public override bool IsDone => Volatile.Read(ref Box->Done) == Volatile.Read(ref Box->Order) || IsGone();

    private Mailbox* Box => (Mailbox*)_page.Pointer;

    // It asks Xen for a moment's rest again and again instead. It must have heard of it while it still could be woken.
    public override void StopSleeping()
    {
        Volatile.Write(ref Box->Port, 0);
        Start(new AgentOrder(AgentWork.Hypercall, (ulong)XenMemoryProvider.Abi.Hypercall.XenVersion));
        Finish();
    }

    public override void Start(AgentOrder order)
    {
        Mailbox* box = Box;
        box->Kind = (ulong)order.Work;
        box->Op = order.Op;
        box->Arg0 = order.Arg0;
        box->Arg1 = order.Arg1;
        box->Arg2 = order.Arg2;
        box->Width = order.Width;

        // Releases: the guest sees the order whole when it sees its number.
        Volatile.Write(ref box->Order, box->Order + 1);
        _evtchn.Notify(_port);
    }

    public override AgentAnswer Finish()
    {
        Wait(() => IsDone, "the agent's order does not end");
        if (_gone) return new AgentAnswer(0, null, true);
        Mailbox* box = Box;
        return box->Fault != 0 ? new AgentAnswer(0, (int)box->Fault - 1) : new AgentAnswer(box->Result);
    }

    public override void Dispose()
    {
        _page.Dispose();
        base.Dispose();
    }

    // Its toolstack destroys it when Xen crashed it.
    private bool IsGone(bool now = false)
    {
        // Two hypercalls for something that hardly ever happens: not every time.
        if (_gone || (!now && ++_asked % 32 != 0)) return _gone;
        var current = new MemoryOp.Domain { Domid = Domid };
        var call = new DmOp.Call { Op = DmOp.Command.NrVcpus };
        _gone = _privcmd.DmOp(Domid, ref call) == -(int)XenErrno.ESRCH || _privcmd.MemoryOp(MemoryOp.Command.CurrentReservation, ref current) is >= 0 and < 1024;
        return _gone;
    }

    private static void Wait(Func<bool> condition, string otherwise)
    {
        long start = Stopwatch.GetTimestamp();
        var wait = new SpinWait();
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(start) > Deadline) throw new TimeoutException(otherwise);
            wait.SpinOnce();
        }
    }

    /// <summary>agent.S knows it.</summary>
    private struct Mailbox
    {
        public ulong Order;
#pragma warning disable CS0649 // The guest writes it.
        public ulong Done;
#pragma warning restore CS0649
        public ulong Kind, Op, Arg0, Arg1, Arg2, Width;
#pragma warning disable CS0649
        public ulong Result, Fault;
#pragma warning restore CS0649
        public ulong Port;
#pragma warning disable CS0649
        public ulong Alive;
#pragma warning restore CS0649
    }
}
