using Microsoft.Extensions.Logging;
using VhostUser.Memory;
using VhostUser.Queues;

namespace VhostUser.Devices;

/// <summary>
/// One queue of a device at work: ring, request pool, kick and call. Everything below "data path" runs on the
/// worker's thread; the control methods are called by the session and post to it.
/// </summary>
public sealed partial class Vring
{
    /// <summary>Requests taken from one ring before the next ring of the worker gets its turn.</summary>
    public const int BatchBudget = 64;

    private readonly VirtqueueWorker _worker;
    private readonly string _deviceName;
    private readonly QueueHandler _handler;
    private readonly ILogger _logger;

    private Virtqueue? _queue;
    private VringSetup? _setup;
    private VirtqueueRequest[] _pool = [];
    private int _free;
    private int _taken;
    private bool _enabled;
    private bool _quiescing;
    private bool _suspending;
    private bool _unpublished;
    private bool _brokenReported;
    private bool _waitsForIotlb;
    private TaskCompletionSource? _quiesced;
    private VirtqueueRequest? _completedElsewhere;

    internal Vring(string deviceName, VirtioDevice device, int index, VirtqueueWorker worker, ILogger logger)
    {
        _deviceName = deviceName;
        _worker = worker;
        _logger = logger;
        Index = index;
        _handler = device.CreateHandler(worker, index);
    }

    /// <summary>The queue's number, from 0.</summary>
    public int Index { get; }

    public VringCounters Counters { get; } = new();

    /// <summary>Requests taken and not yet completed.</summary>
    public int InFlight => _taken;

    /// <summary>Whether <see cref="VirtqueueRequest.Suspend"/> is allowed now.</summary>
    internal bool MaySuspend => _suspending;

    /// <summary>Takes the next request. Data path.</summary>
    /// <returns>False when there is none, or the ring is stopped, disabled or broken.</returns>
    public bool TryTake([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out VirtqueueRequest? request)
    {
        request = null;
        Virtqueue? queue = _queue;
        if (queue is null || !CanTake)
            return false;

        VirtqueueRequest candidate = _pool[_free - 1];
        switch (queue.TryPop(candidate.Chain))
        {
            case PopResult.Empty:
                // An indirect table's translation is missing: the session wakes the ring when it has come.
                _waitsForIotlb = queue.WaitsForTranslation;
                return false;
            case PopResult.Broken:
                Break(queue.BrokenCause!);
                return false;
        }

        if (!TryTranslate(candidate, out ReadOnlySpan<GuestRange> ranges))
            return false;

        switch (candidate.Resolve(_setup!.Memory, ranges))
        {
            case ResolveResult.OutsideMemory:
                Break("a buffer lies outside guest memory");
                return false;
            case ResolveResult.Hole:
                Counters.CountFault();
                break;
        }

        _free--;
        _taken++;
        request = candidate;
        return true;
    }

    /// <summary>Lets the handler take what is there. Data path.</summary>
    /// <returns>True when it did something or stopped for its budget.</returns>
    internal bool Poll()
    {
        if (_queue is null)
            return false;

        TakeCompletedElsewhere();
        if (_brokenReported)
            return false;

        int before = _taken;
        long completed = Counters.Requests;
        bool more;
        try
        {
            more = _handler.OnAvailable(this);
            if (_taken != before || Counters.Requests != completed)
                _handler.EndOfBatch();
        }
        catch (Exception e)
        {
            _logger.HandlerFailed(_deviceName, _worker.Name, Index, e);
            Break("its handler failed");
            return false;
        }

        return more || _taken != before || Counters.Requests != completed;
    }

    /// <summary>Makes completed requests visible and calls the driver if it wants to know. Data path.</summary>
    internal void Publish()
    {
        if (_unpublished)
        {
            _unpublished = false;
            if (_queue!.BrokenCause is null && _queue.Publish())
                Call();
        }

        if (_quiesced is not null && _taken == 0)
        {
            TaskCompletionSource quiesced = _quiesced;
            _quiesced = null;
            quiesced.SetResult();
        }
    }

    internal void SuppressKicks()
    {
        if (CanTake)
            _queue!.SuppressKicks();
    }

    /// <summary>Asks for kicks before the worker sleeps.</summary>
    /// <returns>True when there is something to take already.</returns>
    internal bool AllowKicks() => CanTake && _queue!.AllowKicks();

    /// <summary>True where nobody kicks: the ring has to be looked at every now and then.</summary>
    internal bool NeedsPolling => CanTake && _setup!.Kick is null && !_setup.InBandKicks;

    internal void Complete(VirtqueueRequest request)
    {
        Virtqueue queue = _queue!;
        if (_setup!.LogBuffers && _setup.Log is { } log)
            LogWritten(request, log);

        // Mappings made for this chain go before its used entry is published: the guest revokes its grants on seeing it.
        request.Lease.Release();
        request.Lease = default;
        if (queue.BrokenCause is null)
            queue.AddUsed(request.Chain, request.Written);

        _pool[_free++] = request;
        _taken--;
        _unpublished = true;
        Counters.CountRequest();
    }

    /// <summary>Lets go of a request without a used entry: the ring's in-flight region goes on naming it.</summary>
    internal void Suspend(VirtqueueRequest request)
    {
        // Some of a read may have arrived before it was called off.
        if (_setup!.LogBuffers && _setup.Log is { } log)
            LogWritten(request, log);

        request.Lease.Release();
        request.Lease = default;
        _pool[_free++] = request;
        _taken--;
    }

    internal void CompleteLater(VirtqueueRequest request)
    {
        // A stack that producers push to and the worker takes whole: no allocation, no ABA. The exchange is a full
        // fence, whose partner is the exchange in TakeCompletedElsewhere.
        VirtqueueRequest? head;
        do
        {
            head = Volatile.Read(ref _completedElsewhere);
            request.Next = head;
        }
        while (Interlocked.CompareExchange(ref _completedElsewhere, request, head) != head);

        if (head is null)
            _worker.Wake();
    }

    /// <summary>With every entry in flight there is nothing to look for; a driver that claims more is found out by the ring.</summary>
    private bool CanTake => _queue is not null && _free != 0 && _enabled && !_quiescing && !_waitsForIotlb && !_brokenReported;

    private void TakeCompletedElsewhere()
    {
        if (Volatile.Read(ref _completedElsewhere) is null)
            return;

        VirtqueueRequest? request = Interlocked.Exchange(ref _completedElsewhere, null);
        while (request is not null)
        {
            VirtqueueRequest? next = request.Next;
            request.Next = null;
            request.Complete(request.Written);
            request = next;
        }
    }

    private void Call()
    {
        Counters.CountCall();
        if (_setup!.Call is { } call)
            call.Signal();
        else
            _setup.InBandCall?.Invoke();
    }

    /// <summary>The driver broke the ring: said once, to the log and to the front-end, and then it stays stopped.</summary>
    private void Break(string cause)
    {
        if (_brokenReported)
            return;

        _brokenReported = true;
        Counters.CountBreak();
        _logger.QueueBroken(_deviceName, Index, cause);
        _setup!.Error?.Signal();
        if (_setup.Error is null)
            _setup.InBandError?.Invoke();
    }

    private bool TryTranslate(VirtqueueRequest request, out ReadOnlySpan<GuestRange> ranges)
    {
        ranges = request.Chain.Ranges;
        if (_setup!.Iotlb is not { } iotlb)
            return true;

        List<GuestRange> translated = request.Translated ??= [];
        translated.Clear();
        switch (iotlb.TryTranslate(ranges, translated))
        {
            case TranslateResult.Missing:
                // The miss has been sent; the session wakes the ring when the update arrives.
                _queue!.Unpop(request.Chain);
                _waitsForIotlb = true;
                return false;
            case TranslateResult.TooScattered:
                Break($"a chain that the IOMMU scatters over more than {Iotlb.Capacity} places");
                return false;
        }

        ranges = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(translated);
        return true;
    }

    private void LogWritten(VirtqueueRequest request, DirtyLog log)
    {
        ReadOnlySpan<GuestRange> ranges = _setup!.Iotlb is null
            ? request.Chain.Ranges
            : System.Runtime.InteropServices.CollectionsMarshal.AsSpan(request.Translated);
        // All of them, not the first bytes that Written counts: a failed read writes its status byte at the very end.
        foreach (ref readonly GuestRange range in ranges)
        {
            if (range.Writable)
                log.Mark(range.Address, range.Length);
        }
    }
}
