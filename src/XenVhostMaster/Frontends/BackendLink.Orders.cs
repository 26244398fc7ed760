using System.Collections.Concurrent;
using VhostUser.Session;
using XenVhostMaster.Transports;

namespace XenVhostMaster.Frontends;

/// <content>Orders: set by the I/O thread, taken by the task, each kind at most once under way.</content>
internal sealed partial class BackendLink
{
    private readonly ConcurrentQueue<(int Queue, bool Start)> _queueOrders = new();
    private readonly ConcurrentQueue<TaskCompletionSource> _remapWaiters = new();
    private int _orders;
    private bool _wantsToRun;
    private volatile bool _ended;
    private bool _memoryIsStale = true;

    [Flags]
    private enum Orders
    {
        Start = 1,
        Reset = 2,
        Queues = 4,
        WriteConfig = 8,
        ReadConfig = 16,
        Memory = 32,
    }

    void IDeviceControl.Kick(int queue)
    {
        Kicks++;
        _guest.SignalAfterReply(_kicks[queue]);
    }

    void IDeviceControl.Start() => Order(Orders.Start);

    void IDeviceControl.Reset() => Order(Orders.Reset);

    void IDeviceControl.StartQueue(int queue)
    {
        _queueOrders.Enqueue((queue, true));
        Order(Orders.Queues);
    }

    void IDeviceControl.ResetQueue(int queue)
    {
        _queueOrders.Enqueue((queue, false));
        Order(Orders.Queues);
    }

    void IDeviceControl.ConfigWritten() => Order(Orders.WriteConfig);

    /// <summary>The guest gave pages back: the back-end's mappings of them are of the past. Done when it has others, or none.</summary>
    public Task MemoryChangedAsync()
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _remapWaiters.Enqueue(done);
        Order(Orders.Memory);

        // A link that has ended holds nothing, and nobody takes its orders.
        if (_ended)
            done.TrySetResult();

        return done.Task;
    }

    private void Order(Orders order)
    {
        Interlocked.Or(ref _orders, (int)order);
        _wake.Writer.TryWrite(true);
    }

    private async Task RunAsync(CancellationToken cancellation)
    {
        Task<FrontendSession>? connecting = null;
        Task<bool>? wake = null;
        while (!cancellation.IsCancellationRequested)
        {
            wake ??= _wake.Reader.WaitToReadAsync(cancellation).AsTask();
            if (_session is null)
                connecting ??= _connecting.ExecuteAsync(static async (link, token) => await link.OpenAsync(token).ConfigureAwait(false), this, cancellation).AsTask();

            await Task.WhenAny(wake, _session is null ? connecting! : _session.Closed).ConfigureAwait(false);
            if (cancellation.IsCancellationRequested)
                break;

            if (_session is null && connecting!.IsCompletedSuccessfully)
            {
                _session = await connecting.ConfigureAwait(false);
                connecting = null;
                await GuardAsync("reconnect", session => RecoverAsync(session, cancellation)).ConfigureAwait(false);
            }
            else if (_session is { Closed.IsCompleted: true })
            {
                await HangUpAsync((await _session.Closed.ConfigureAwait(false))?.Message ?? "it hung up").ConfigureAwait(false);
            }

            if (wake.IsCompleted)
            {
                _wake.Reader.TryRead(out _);
                wake = null;
            }

            await CarryOutAsync((Orders)Interlocked.Exchange(ref _orders, 0), cancellation).ConfigureAwait(false);
        }

        if (connecting is not null)
            await DiscardAsync(connecting).ConfigureAwait(false);

        _ended = true;
        while (_remapWaiters.TryDequeue(out TaskCompletionSource? waiter))
            waiter.TrySetResult();
    }

    private async Task CarryOutAsync(Orders orders, CancellationToken cancellation)
    {
        // A start and a reset both set are a start first: the model orders nothing after a reset until it is done.
        if ((orders & Orders.Start) != 0)
        {
            _wantsToRun = true;
            await GuardAsync("start", session => StartAsync(session, cancellation)).ConfigureAwait(false);
        }

        if ((orders & Orders.Queues) != 0)
            await CarryOutQueueOrdersAsync(cancellation).ConfigureAwait(false);

        if ((orders & Orders.WriteConfig) != 0)
            await GuardAsync("SET_CONFIG", session => WriteConfigAsync(session, cancellation), harmless: true).ConfigureAwait(false);

        if ((orders & Orders.ReadConfig) != 0)
            await GuardAsync("GET_CONFIG", session => PublishConfigAsync(session, cancellation), harmless: true).ConfigureAwait(false);

        if ((orders & Orders.Memory) != 0)
            await RemapAsync(cancellation).ConfigureAwait(false);

        if ((orders & Orders.Reset) != 0)
        {
            _wantsToRun = false;
            await GuardAsync("reset", session => ResetAsync(session, cancellation), harmless: true).ConfigureAwait(false);
            ForgetRings();
            _logger.DeviceReset(Options.Name);
            _guest.Post(_model!.ResetDone);
        }
    }

    /// <summary>
    /// Does something with the back-end. If it went away meanwhile, that is what the loop sees next; if it said no, the device
    /// has failed unless it can do without.
    /// </summary>
    private async Task GuardAsync(string request, Func<FrontendSession, Task> action, bool harmless = false)
    {
        if (_session is not { } session)
            return;

        try
        {
            await action(session).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // The whole link ends.
        }
        catch (Exception e) when (e is IOException or InvalidOperationException or ArgumentException)
        {
            if (session.Closed.IsCompleted)
                return;

            if (_guestsLines.TryTake())
                _logger.RequestFailed(Options.Name, request, e.Message);

            if (harmless)
                return;

            if (_guestsLines.TryTake())
                _logger.Failed(Options.Name, e.Message);

            _guest.Post(_model!.Fail);
        }
    }

    private async Task HangUpAsync(string cause)
    {
        _logger.Gone(Options.Name, cause);
        await _session!.DisposeAsync().ConfigureAwait(false);
        _session = null;
        _memoryIsStale = true;
    }

    private static async Task DiscardAsync(Task<FrontendSession> connecting)
    {
        try
        {
            await (await connecting.ConfigureAwait(false)).DisposeAsync().ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // It never came to be.
        }
    }
}
