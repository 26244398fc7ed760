using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.Logging;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace VhostUser.Devices;

/// <summary>
/// One named thread that owns one or more queues and one io_uring. It drains rings, hands out completions,
/// publishes once per round, and sleeps in one epoll_wait: kick eventfds, the io_uring's descriptor, whatever
/// a handler watches, and an eventfd of its own for commands from the control plane.
/// </summary>
public sealed unsafe class VirtqueueWorker : IDisposable
{
    private const ulong WakeData = ulong.MaxValue;
    private const ulong RingData = ulong.MaxValue - 1;
    private const uint RingEntries = 256;

    // A busy worker looks at what handlers watch once in so many rounds; it would starve otherwise.
    private const int RoundsPerLook = 16;

    private readonly ILogger _logger;
    private readonly long _pollTicks;
    private readonly Thread _thread;
    private readonly Epoll _epoll = new();
    private readonly EventFd _wake = EventFd.Create();
    private readonly ConcurrentQueue<Action> _commands = new();
    private readonly List<Vring> _vrings = [];
    private readonly Dictionary<int, Watcher> _watchers = [];
    private IRingCompletion?[] _pending = new IRingCompletion?[RingEntries];
    private int[] _freePending = new int[RingEntries];
    private int _freePendingCount;
    private int _callbacks;
    private bool _stop;

    /// <param name="name">The thread's name.</param>
    /// <param name="options">Polling and io_uring.</param>
    /// <param name="logger">For what happens once.</param>
    public VirtqueueWorker(string name, WorkerOptions options, ILogger logger)
    {
        Name = name;
        _logger = logger;
        _pollTicks = options.PollMicroseconds * Stopwatch.Frequency / 1_000_000;
        _epoll.Add(_wake.Handle, EPOLLIN | EPOLLET, WakeData);
        for (int i = _freePending.Length - 1; i >= 0; i--)
            _freePending[_freePendingCount++] = i;

        _thread = new Thread(() => Run(options.UseIoUring)) { Name = name, IsBackground = true };
        _thread.Start();
    }

    public string Name { get; }

    /// <summary>The worker's io_uring, or null where the kernel refuses it. For its own thread.</summary>
    public IoUring? Ring { get; private set; }

    /// <summary>Operations submitted to the io_uring and not yet completed.</summary>
    public int PendingOperations => _pending.Length - _freePendingCount;

    /// <summary>
    /// Gives a submission entry whose completion goes to <paramref name="target"/>. It is submitted at the end of
    /// the round. For the worker's own thread.
    /// </summary>
    /// <param name="target">Gets the result.</param>
    /// <param name="sqe">The entry to prepare, zeroed.</param>
    /// <param name="userData">To be put into the entry.</param>
    /// <returns>False when there is no io_uring or no room even after submitting.</returns>
    public bool TryGetSqe(IRingCompletion target, out io_uring_sqe* sqe, out ulong userData)
    {
        sqe = null;
        userData = 0;
        if (Ring is not { } ring)
            return false;

        if (!ring.TryGetSqe(out sqe))
        {
            ring.Submit();
            if (!ring.TryGetSqe(out sqe))
                return false;
        }

        if (_freePendingCount == 0)
            GrowPending();

        int index = _freePending[--_freePendingCount];
        _pending[index] = target;
        userData = (ulong)index;
        return true;
    }

    /// <summary>Calls back on this thread whenever a descriptor is ready (level-triggered). Any thread.</summary>
    public Task WatchAsync(FileDescriptor fd, uint events, Action<uint> callback) => InvokeAsync(() => Watch(fd, events, callback, null));

    /// <summary>Ends <see cref="WatchAsync"/>; once awaited, the descriptor may be closed.</summary>
    public Task UnwatchAsync(FileDescriptor fd) => InvokeAsync(() => Unwatch(fd));

    /// <summary>Runs something on this thread.</summary>
    public Task InvokeAsync(Action action)
    {
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() =>
        {
            try
            {
                action();
                done.SetResult();
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        });
        return done.Task;
    }

    /// <summary>Ends the thread. The queues must be stopped.</summary>
    public void Dispose()
    {
        if (Volatile.Read(ref _stop))
            return;

        Post(() => Volatile.Write(ref _stop, true));
        if (Thread.CurrentThread != _thread)
            _thread.Join();
    }

    internal void Post(Action action)
    {
        _commands.Enqueue(action);
        Wake();
    }

    internal void Wake() => _wake.Signal();

    internal Task AddAsync(Vring vring) => InvokeAsync(() => _vrings.Add(vring));

    internal Task RemoveAsync(Vring vring) => InvokeAsync(() => _vrings.Remove(vring));

    internal void WatchKick(EventFd kick, Vring vring) => Watch(kick.Handle, EPOLLIN | EPOLLET, null, vring);

    internal void UnwatchKick(EventFd kick) => Unwatch(kick.Handle);

    private void Run(bool useIoUring)
    {
        OpenRing(useIoUring);
        Span<epoll_event> events = stackalloc epoll_event[64];
        long pollUntil = 0;
        uint rounds = 0;
        while (!_stop)
        {
            bool busy = RunCommands();
            foreach (Vring vring in _vrings)
                busy |= vring.Poll();

            Ring?.Submit();
            busy |= ReapCompletions();
            PublishAll();
            if (_callbacks != 0 && ++rounds % RoundsPerLook == 0)
                busy |= Look(events, 0);

            if (busy)
            {
                pollUntil = 0;
                continue;
            }

            if (_pollTicks > 0)
            {
                long now = Stopwatch.GetTimestamp();
                if (pollUntil == 0)
                    pollUntil = now + _pollTicks;

                if (now < pollUntil)
                {
                    Thread.SpinWait(8);
                    continue;
                }
            }

            Sleep(events);
            pollUntil = 0;
        }

        CloseRing();
    }

    /// <summary>Allows kicks, looks once more, and waits. A kick between the look and the wait is in the eventfd.</summary>
    private void Sleep(Span<epoll_event> events)
    {
        bool more = false;
        bool needsPolling = false;
        foreach (Vring vring in _vrings)
        {
            more |= vring.AllowKicks();
            needsPolling |= vring.NeedsPolling;
        }

        if (!more && _commands.IsEmpty)
            Look(events, needsPolling ? 1 : -1);

        foreach (Vring vring in _vrings)
            vring.SuppressKicks();
    }

    private bool Look(Span<epoll_event> events, int timeoutMilliseconds)
    {
        int count = _epoll.Wait(events, timeoutMilliseconds);
        for (int i = 0; i < count; i++)
            Dispatch(events[i]);

        return count > 0;
    }

    private void Dispatch(in epoll_event ready)
    {
        // Kicks, the wake eventfd and the ring need nothing here: the next round looks at all of them.
        ulong data = ready.data;
        if (data is WakeData or RingData || !_watchers.TryGetValue((int)data, out Watcher? watcher))
            return;

        if (watcher.Vring is { } vring)
            vring.Counters.CountWakeUp();
        else
            watcher.Callback!(ready.events);
    }

    private bool RunCommands()
    {
        bool any = false;
        while (_commands.TryDequeue(out Action? command))
        {
            any = true;
            try
            {
                command();
            }
            catch (Exception e)
            {
                _logger.CommandFailed(Name, e);
            }
        }

        return any;
    }

    private bool ReapCompletions()
    {
        if (Ring is not { } ring)
            return false;

        bool any = false;
        while (ring.TryPeekCqe(out io_uring_cqe cqe))
        {
            ring.AdvanceCq();
            any = true;
            int index = (int)cqe.user_data;
            IRingCompletion target = _pending[index]!;
            _pending[index] = null;
            _freePending[_freePendingCount++] = index;
            target.OnCompletion(cqe.res);
        }

        return any;
    }

    private void PublishAll()
    {
        foreach (Vring vring in _vrings)
            vring.Publish();
    }

    private void Watch(FileDescriptor fd, uint events, Action<uint>? callback, Vring? vring)
    {
        int key = fd.Value;
        _epoll.Add(fd, events, (ulong)key);
        _watchers.Add(key, new Watcher(callback, vring));
        if (callback is not null)
            _callbacks++;
    }

    private void Unwatch(FileDescriptor fd)
    {
        if (!_watchers.Remove(fd.Value, out Watcher? watcher))
            return;

        _epoll.Remove(fd);
        if (watcher.Callback is not null)
            _callbacks--;
    }

    private void OpenRing(bool use)
    {
        if (!use)
            return;

        if (!IoUring.IsSupported)
        {
            _logger.NoIoUring(Name);
            return;
        }

        Ring = new IoUring(RingEntries);
        _epoll.Add(Ring.Handle, EPOLLIN, RingData);
    }

    private void CloseRing()
    {
        Ring?.Dispose();
        Ring = null;
        _epoll.Dispose();
        _wake.Dispose();
    }

    private void GrowPending()
    {
        int old = _pending.Length;
        Array.Resize(ref _pending, old * 2);
        Array.Resize(ref _freePending, old * 2);
        for (int i = (old * 2) - 1; i >= old; i--)
            _freePending[_freePendingCount++] = i;
    }

    private sealed record Watcher(Action<uint>? Callback, Vring? Vring);
}
