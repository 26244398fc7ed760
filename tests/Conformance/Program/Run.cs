using System.Diagnostics;
using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace Conformance;

/// <summary>One script on one machine: domain 0's devices, the guests, and the steps taken so far.</summary>
internal sealed class Run : IDisposable
{
    /// <summary>No domain ever has it here.</summary>
    public const ushort Nobody = 999;

    private readonly List<Step> _steps = [];
    private readonly Stack<Action> _deferred = new();
    private Agent? _agent;
    private IPrivcmd? _privcmd;
    private IEvtchn? _evtchn;
    private IGntdev? _gntdev;
    private IGntalloc? _gntalloc;

    public Run(Machine machine) => Machine = machine;

    public Machine Machine { get; }

    public IReadOnlyList<Step> Steps => _steps;

    /// <summary>A PVH guest with two virtual CPUs that never runs.</summary>
    public ushort Pvh => Machine.Pvh;

    /// <summary>An HVM guest that never runs; its own device model has ioreq server 0.</summary>
    public ushort Hvm => Machine.Hvm;

    /// <summary>The guest that takes orders, with nothing in its scratch pages.</summary>
    public Agent Agent
    {
        get
        {
            if (_agent is null)
            {
                _agent = Machine.Agent;
                _agent.Reset();
            }

            return _agent;
        }
    }

    public IPrivcmd Privcmd => _privcmd ??= Machine.Kernel.OpenPrivcmd();

    public IEvtchn Evtchn => _evtchn ??= Machine.Kernel.OpenEvtchn();

    public IGntdev Gntdev => _gntdev ??= Machine.Kernel.OpenGntdev();

    public IGntalloc Gntalloc => _gntalloc ??= Machine.Kernel.OpenGntalloc();

    /// <summary>Does one thing and keeps what it gave. An XenException is its errno.</summary>
    public void Step(string what, string expected, Func<Outcome> act)
    {
        Outcome outcome;
        try
        {
            outcome = act();
        }
        catch (XenException e)
        {
            outcome = -e.Errno;
        }

        _steps.Add(new Step(what, expected, outcome.Text));
    }

    /// <summary>For a call that gives nothing unless it throws.</summary>
    public void Step(string what, string expected, Action act) => Step(what, expected, () =>
    {
        act();
        return 0;
    });

    /// <summary>Something to do when the script is over, last first, whatever became of it.</summary>
    public void Defer(Action action) => _deferred.Push(action);

    /// <summary>Disposed when the script is over.</summary>
    public T Own<T>(T owned)
        where T : IDisposable
    {
        Defer(owned.Dispose);
        return owned;
    }

    /// <summary>A device-model operation.</summary>
    public int DmOp(ushort domid, DmOp.Call call, Span<byte> extra = default) => Privcmd.DmOp(domid, ref call, extra);

    /// <summary>A device-model operation with results.</summary>
    public int DmOp(ushort domid, ref DmOp.Call call) => Privcmd.DmOp(domid, ref call);

    /// <summary>Asks again until the answer is the awaited one: what Xen does for a dying domain takes a while. At most ten seconds.</summary>
    /// <returns>The last answer.</returns>
    public static int Eventually(Func<int> ask, int awaited)
    {
        long start = Stopwatch.GetTimestamp();
        var wait = new SpinWait();
        int answer = ask();
        while (answer != awaited && Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(10))
        {
            wait.SpinOnce();
            answer = ask();
        }

        return answer;
    }

    /// <summary>The script broke off.</summary>
    public void Broke(Exception exception) => _steps.Add(new Step("the script", "ends", $"{exception.GetType().Name}: {exception.Message}"));

    public void Dispose()
    {
        while (_deferred.TryPop(out Action? action))
        {
            try
            {
                action();
            }
            catch (XenException)
            {
                // What it was to give back is gone already, with its domain.
            }
        }

        // Last: mappings and the rest are given back through them.
        _gntalloc?.Dispose();
        _gntdev?.Dispose();
        _evtchn?.Dispose();
        _privcmd?.Dispose();
    }

    /// <summary>Are events there to be read within this time?</summary>
    public static unsafe bool IsReadable(IEvtchn events, int milliseconds)
    {
        using FileDescriptor.Borrowed fd = events.Descriptor.Borrow();
        var poll = new pollfd { fd = fd.Value, events = LibC.POLLIN };
        return LibC.poll(&poll, 1, milliseconds) == 1 && (poll.revents & LibC.POLLIN) != 0;
    }
}
