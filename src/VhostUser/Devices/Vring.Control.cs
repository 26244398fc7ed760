using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using VhostXen.Linux;

namespace VhostUser.Devices;

/// <content>
/// The control plane's half. The session owns the eventfds, the memory and the in-flight region that a setup
/// names, and disposes them only after the call that lets go of them has been awaited.
/// </content>
public sealed partial class Vring
{
    /// <summary>Starts the ring. It must be stopped.</summary>
    internal Task StartAsync(VringSetup setup) => _worker.InvokeAsync(() =>
    {
        if (_queue is not null)
            throw new InvalidOperationException($"queue {Index} runs already");

        _queue = CreateQueue(setup);
        _setup = setup;
        _enabled = setup.Enabled;
        _brokenReported = false;
        _quiescing = false;
        _suspending = false;
        _waitsForIotlb = false;
        FillPool(setup.Layout.Size);
        try
        {
            if (setup.Kick is { } kick)
                _worker.WatchKick(kick, this);

            _handler.Start(setup.Features);
        }
        catch
        {
            // The session takes it for stopped, and takes its memory away.
            if (setup.Kick is { } kick)
                _worker.UnwatchKick(kick);

            _queue = null;
            _setup = null;
            throw;
        }

        _logger.QueueStarted(_deviceName, Index, setup.IsPacked ? "packed" : "split", setup.Layout.Size, setup.Base);
    });

    /// <summary>Stops the ring with every request given back.</summary>
    /// <param name="leaveInFlight">True where requests that the device can let go of may stay in the in-flight region, if there is one.</param>
    /// <returns>The ring's position as GET_VRING_BASE encodes it; 0 when it did not run.</returns>
    internal async Task<uint> StopAsync(bool leaveInFlight = false)
    {
        await DrainAsync(leaveInFlight).ConfigureAwait(false);
        uint @base = 0;
        await _worker.InvokeAsync(() =>
        {
            if (_queue is null)
                return;

            @base = _queue.Base;
            if (_setup!.Kick is { } kick)
                _worker.UnwatchKick(kick);

            _queue = null;
            _setup = null;
            _quiescing = false;
            _suspending = false;
            _logger.QueueStopped(_deviceName, Index, @base);
        }).ConfigureAwait(false);
        return @base;
    }

    /// <summary>Takes nothing more and waits until nothing is in flight; <see cref="ResumeAsync"/> goes on.</summary>
    internal Task QuiesceAsync() => DrainAsync(leaveInFlight: false);

    private async Task DrainAsync(bool leaveInFlight)
    {
        Task? wait = null;
        await _worker.InvokeAsync(() =>
        {
            if (_queue is null)
                return;

            // What was completed since the last round is not visible yet, and the ring may be gone before this one ends.
            Publish();
            bool suspend = leaveInFlight && _setup!.Inflight is not null && _queue.BrokenCause is null;
            if (suspend && !_suspending)
            {
                _quiescing = true;
                _suspending = true;
                _handler.Suspend();
                Publish();
            }
            else if (!_quiescing)
            {
                _quiescing = true;
                _handler.Stop();
                Publish();
            }

            if (_taken == 0)
                return;

            _quiesced ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            wait = _quiesced.Task;
        }).ConfigureAwait(false);
        if (wait is not null)
            await wait.ConfigureAwait(false);
    }

    /// <summary>Goes on after <see cref="QuiesceAsync"/>, where memory or the ring's place in it may have changed.</summary>
    /// <param name="change">Makes the new setup of the old one; null for no change.</param>
    internal Task ResumeAsync(Func<VringSetup, VringSetup>? change = null) => _worker.InvokeAsync(() =>
    {
        if (_queue is null)
            return;

        if (change is not null)
        {
            VringSetup setup = change(_setup!) with { Base = _queue.Base };
            string? broken = _queue.BrokenCause;
            _queue = CreateQueue(setup);
            _setup = setup;
            if (broken is not null)
                Break(broken);
        }

        _quiescing = false;
        _handler.Start(_setup!.Features);
    });

    /// <summary>Adds memory without stopping: the new map holds everything that the old one held.</summary>
    internal Task ExtendMemoryAsync(GuestMemoryMap memory) => _worker.InvokeAsync(() =>
    {
        if (_queue is null)
            return;

        _setup = _setup! with { Memory = memory };
        _queue.Memory = memory;
    });

    internal Task SetEnabledAsync(bool enabled) => _worker.InvokeAsync(() => _enabled = enabled);

    internal Task SetKickAsync(EventFd? kick) => _worker.InvokeAsync(() =>
    {
        if (_queue is null)
            return;

        if (_setup!.Kick is { } old)
            _worker.UnwatchKick(old);

        _setup = _setup with { Kick = kick };
        if (kick is not null)
            _worker.WatchKick(kick, this);
    });

    internal Task SetCallAsync(EventFd? call) => _worker.InvokeAsync(() =>
    {
        if (_queue is null)
            return;

        _setup = _setup! with { Call = call };

        // A front-end that changes the eventfd may have lost the signal to the old one.
        call?.Signal();
    });

    internal Task SetErrorAsync(EventFd? error) => _worker.InvokeAsync(() =>
    {
        if (_queue is not null)
            _setup = _setup! with { Error = error };
    });

    /// <summary>Starts, changes or ends dirty logging.</summary>
    internal Task SetLogAsync(DirtyLog? log, bool logBuffers, GuestAddress? ringLog) => _worker.InvokeAsync(() =>
    {
        if (_queue is null)
            return;

        _setup = _setup! with { Log = log, LogBuffers = logBuffers, Layout = _setup.Layout with { LogAddress = ringLog } };
        _queue.Log = log;
        _queue.LogAddress = ringLog;
    });

    /// <summary>A kick that came in band (VHOST_USER_VRING_KICK), or news for a ring that waits for its IOTLB.</summary>
    internal void Kick() => _worker.Post(() => _waitsForIotlb = false);

    /// <summary>Lets go of the handler. The ring must be stopped.</summary>
    internal async Task DisposeAsync()
    {
        await _worker.RemoveAsync(this).ConfigureAwait(false);
        await _worker.InvokeAsync(_handler.Dispose).ConfigureAwait(false);
    }

    private static Virtqueue CreateQueue(VringSetup setup)
    {
        Virtqueue queue = Virtqueue.Create(setup.Layout, setup.Features, setup.Base, setup.Inflight);
        queue.Memory = setup.Memory;
        queue.Iotlb = setup.Iotlb;
        queue.Log = setup.Log;
        return queue;
    }

    private void FillPool(int size)
    {
        if (_pool.Length != size)
        {
            // Requests of an earlier run with this size keep their state: nothing is made anew on a restart.
            _pool = new VirtqueueRequest[size];
            for (int i = 0; i < size; i++)
                _pool[i] = new VirtqueueRequest(this, i);
        }

        _free = size;
        _taken = 0;
    }
}
