using Microsoft.Extensions.Logging;
using System.Collections.Concurrent;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace XenVhostMaster.Domains;

/// <summary>The thread of one guest: waits for descriptors and for what is posted, and does one thing after the other.</summary>
internal sealed class IoThread : IDisposable
{
    private readonly Epoll _epoll = new();
    private readonly EventFd _posted = EventFd.Create();
    private readonly ConcurrentQueue<Action> _mail = new();
    private readonly List<Action?> _handlers = [];
    private readonly Dictionary<FileDescriptor, int> _slots = [];
    private readonly Thread _thread;
    private readonly ILogger _logger;
    private volatile bool _stop;

    public IoThread(string name, ILogger logger)
    {
        _logger = logger;
        _thread = new Thread(Run) { Name = name, IsBackground = true };
        Add(_posted.Handle, TakeMail);
    }

    public void Start() => _thread.Start();

    /// <summary>Calls the handler while the descriptor is readable. On this thread, or before it starts.</summary>
    public void Add(FileDescriptor fd, Action handler)
    {
        int slot = _handlers.IndexOf(null);
        if (slot < 0)
        {
            slot = _handlers.Count;
            _handlers.Add(null);
        }

        _epoll.Add(fd, EPOLLIN, (ulong)slot);
        _handlers[slot] = handler;
        _slots[fd] = slot;
    }

    /// <summary>On this thread, or after it stopped.</summary>
    public void Remove(FileDescriptor fd)
    {
        if (!_slots.Remove(fd, out int slot))
            return;

        _handlers[slot] = null;
        _epoll.Remove(fd);
    }

    /// <summary>Runs something on this thread, later. From any thread.</summary>
    public void Post(Action action)
    {
        _mail.Enqueue(action);
        _posted.Signal();
    }

    /// <summary>The same, and waits for it without blocking.</summary>
    public Task<T> InvokeAsync<T>(Func<T> function)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() =>
        {
            try
            {
                done.SetResult(function());
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        });
        return done.Task;
    }

    /// <summary>Ends the thread; what was posted before is done, what is posted later never is.</summary>
    public void Stop()
    {
        if (_stop)
            return;

        Post(() => _stop = true);
        if (_thread.ThreadState != ThreadState.Unstarted && Thread.CurrentThread != _thread)
            _thread.Join();
    }

    public void Dispose()
    {
        Stop();
        _epoll.Dispose();
        _posted.Dispose();
    }

    private void Run()
    {
        Span<epoll_event> events = stackalloc epoll_event[32];
        while (!_stop)
        {
            int count = _epoll.Wait(events, -1);
            for (int i = 0; i < count && !_stop; i++)
                Call(_handlers[(int)events[i].data]);
        }
    }

    private void TakeMail()
    {
        _posted.Drain();
        while (_mail.TryDequeue(out Action? action))
            Call(action);
    }

    /// <summary>A mistake of ours costs one event, not the guest: its other devices go on.</summary>
    private void Call(Action? handler)
    {
        try
        {
            handler?.Invoke();
        }
        catch (Exception e)
        {
            _logger.HandlerFailed(e);
        }
    }
}
