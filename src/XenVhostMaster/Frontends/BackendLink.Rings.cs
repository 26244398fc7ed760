using VhostUser.Protocol;
using VhostUser.Session;
using XenVhostMaster.Transports;

namespace XenVhostMaster.Frontends;

/// <content>What the orders mean at the back-end.</content>
internal sealed partial class BackendLink
{
    private readonly SortedSet<int> _running = [];
    private FrontendInflight? _inflight;

    /// <summary>What is of use to a guest under Xen; dirty logging and postcopy belong to live migration by a front-end that moves the guest.</summary>
    private static ProtocolFeatures Wanted =>
        ProtocolFeatures.Mq | ProtocolFeatures.ReplyAck | ProtocolFeatures.BackendReq | ProtocolFeatures.Config
        | ProtocolFeatures.InflightShmFd | ProtocolFeatures.ResetDevice | ProtocolFeatures.XenMmap;

    /// <summary>DRIVER_OK: everything from the start.</summary>
    private async Task StartAsync(FrontendSession session, CancellationToken cancellation)
    {
        await SetUpAsync(session, cancellation).ConfigureAwait(false);
        uint ringBase = RingBase.Fresh(_model!.DriverFeatures);
        for (int i = 0; i < _queues; i++)
        {
            if (_model.Queue(i) is { Enabled: true, Resetting: false } queue)
                await StartRingAsync(session, queue, ringBase, cancellation).ConfigureAwait(false);
        }

        if (_guestsLines.TryTake())
            _logger.Running(Options.Name, _running.Count, session.Features);
    }

    /// <summary>A new back-end in place of one that died: the same rings, from where they stand.</summary>
    private async Task RecoverAsync(FrontendSession session, CancellationToken cancellation)
    {
        Reconnections++;
        ulong features = session.OfferedFeatures;
        if (QueueRules.Count(Options, session, await ReadConfigAsync(session, cancellation).ConfigureAwait(false)) < _queues)
            throw new FrontendException($"the back-end came back with fewer than {_queues} queues");

        VirtioDeviceModel model = _model!;
        var fits = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        _guest.Post(() => fits.SetResult(model.Reoffer(features)));
        if (!await fits.Task.WaitAsync(cancellation).ConfigureAwait(false))
            throw new FrontendException("the back-end came back without features that the guest uses");

        await PublishConfigAsync(session, cancellation).ConfigureAwait(false);
        if (!_wantsToRun)
            return;

        await SetUpAsync(session, cancellation).ConfigureAwait(false);
        for (int i = 0; i < _queues; i++)
        {
            if (model.Queue(i) is not { Enabled: true, Resetting: false } queue)
                continue;

            uint ringBase = RingBase.Recovered(model.DriverFeatures, queue, _running.Contains(i), _inflight is not null, _guest)
                ?? throw new FrontendException("the back-end died without an in-flight region, and a packed ring does not tell where it stands");
            await StartRingAsync(session, queue, ringBase, cancellation).ConfigureAwait(false);

            // The dead one may have taken a kick and a call with it.
            _kicks[i].Signal();
            _calls[i].Signal();
        }

        _logger.Recovered(Options.Name, _running.Count);
    }

    /// <summary>Features, memory, and the in-flight region, which comes before any ring starts.</summary>
    private async Task SetUpAsync(FrontendSession session, CancellationToken cancellation)
    {
        await session.SetFeaturesAsync(TransportFeatures.Forward(_model!.DriverFeatures), cancellation).ConfigureAwait(false);
        if (session.Has(ProtocolFeatures.InflightShmFd))
        {
            _inflight ??= await session.GetInflightAsync(_queues, Options.QueueSize, cancellation).ConfigureAwait(false);
            await session.SetInflightAsync(_inflight, cancellation).ConfigureAwait(false);
        }

        if (_memoryIsStale || Options.Grants)
            await SetMemoryAsync(session, cancellation).ConfigureAwait(false);
    }

    private async Task SetMemoryAsync(FrontendSession session, CancellationToken cancellation)
    {
        IReadOnlyList<FrontendRegion> regions = Options.Grants ? _guest.GrantRegions(RingParts()) : _guest.ForeignRegions();
        try
        {
            await session.SetMemoryAsync(regions, cancellation).ConfigureAwait(false);
            _memoryIsStale = false;
        }
        finally
        {
            foreach (FrontendRegion region in regions)
                region.File.Dispose();
        }
    }

    /// <summary>Where the rings are that run or are about to.</summary>
    private List<(ulong Start, ulong Length)> RingParts()
    {
        bool packed = (_model!.DriverFeatures & VirtioFeatures.RingPacked) != 0;
        List<(ulong, ulong)> parts = [];
        for (int i = 0; i < _queues; i++)
        {
            if (_model.Queue(i) is not { Enabled: true, Resetting: false } queue)
                continue;

            ulong size = queue.Size;
            parts.Add((queue.Descriptors, 16 * size));
            parts.Add((queue.Driver, packed ? 4 : 6 + 2 * size));
            parts.Add((queue.Device, packed ? 4 : 6 + 8 * size));
        }

        return parts;
    }

    private async Task StartRingAsync(FrontendSession session, QueueState queue, uint ringBase, CancellationToken cancellation)
    {
        await session.StartRingAsync(
            new FrontendRing
            {
                Index = queue.Index,
                Size = queue.Size,
                Descriptors = new FrontendAddress(queue.Descriptors),
                Available = new FrontendAddress(queue.Driver),
                Used = new FrontendAddress(queue.Device),
                Kick = _kicks[queue.Index],
                Call = _calls[queue.Index],
                Error = _errors[queue.Index],
                Base = ringBase,
            },
            cancellation).ConfigureAwait(false);
        _running.Add(queue.Index);
    }

    private async Task CarryOutQueueOrdersAsync(CancellationToken cancellation)
    {
        while (_queueOrders.TryDequeue(out (int Queue, bool Start) order))
        {
            QueueState queue = _model!.Queue(order.Queue);
            if (order.Start && !_running.Contains(order.Queue))
            {
                await GuardAsync("start of a queue", session => StartOneAsync(session, queue, cancellation)).ConfigureAwait(false);
            }
            else if (!order.Start)
            {
                await GuardAsync("reset of a queue", session => StopOneAsync(session, order.Queue, cancellation), harmless: true).ConfigureAwait(false);
                _running.Remove(order.Queue);
                _guest.Post(() => _model.QueueResetDone(order.Queue));
            }
        }
    }

    private async Task StartOneAsync(FrontendSession session, QueueState queue, CancellationToken cancellation)
    {
        if (Options.Grants)
            await SetMemoryAsync(session, cancellation).ConfigureAwait(false);

        await StartRingAsync(session, queue, RingBase.Fresh(_model!.DriverFeatures), cancellation).ConfigureAwait(false);
    }

    private async Task StopOneAsync(FrontendSession session, int index, CancellationToken cancellation)
    {
        await StopRingAsync(session, index, cancellation).ConfigureAwait(false);

        // The guest takes the ring's grants back next.
        if (Options.Grants)
            await SetMemoryAsync(session, cancellation).ConfigureAwait(false);
    }

    /// <summary>
    /// Status 0: nothing of the back-end's touches guest memory afterwards. Where that cannot be had by asking, it is had by
    /// hanging up.
    /// </summary>
    private async Task ResetAsync(FrontendSession session, CancellationToken cancellation)
    {
        try
        {
            foreach (int index in _running)
                await StopRingAsync(session, index, cancellation).ConfigureAwait(false);

            if (session.Has(ProtocolFeatures.ResetDevice))
                await session.ResetDeviceAsync(cancellation).ConfigureAwait(false);

            // Grants that somebody still maps when the guest takes them back make it give the device up.
            if (Options.Grants)
                await session.SetMemoryAsync([], cancellation).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            await HangUpAsync(e.Message).ConfigureAwait(false);
        }
    }

    private async Task StopRingAsync(FrontendSession session, int index, CancellationToken cancellation)
    {
        if (!_running.Contains(index))
            return;

        await session.StopRingAsync(index, cancellation).ConfigureAwait(false);
        _kicks[index].Drain();
    }

    private void ForgetRings()
    {
        _running.Clear();
        _queueOrders.Clear();
        _inflight?.Dispose();
        _inflight = null;

        // What rings of the past had to say, the next ones did not.
        foreach (VhostXen.Linux.EventFd fd in (IEnumerable<VhostXen.Linux.EventFd>)[.. _kicks, .. _calls, .. _errors])
            fd.Drain();
    }

    private async Task StopAllAsync(FrontendSession session)
    {
        try
        {
            foreach (int index in _running)
                await session.StopRingAsync(index).ConfigureAwait(false);
        }
        catch (IOException)
        {
            // Gone already.
        }
    }

    private async Task WriteConfigAsync(FrontendSession session, CancellationToken cancellation)
    {
        byte[] data = new byte[VirtioDeviceModel.MaxConfigSize];
        int length = _model!.TakeConfigWrites(data, out int offset);
        if (length == 0)
            return;

        try
        {
            await session.SetConfigAsync(offset, data.AsMemory(0, length), cancellation).ConfigureAwait(false);
        }
        finally
        {
            await PublishConfigAsync(session, cancellation).ConfigureAwait(false);
        }
    }

    private async Task PublishConfigAsync(FrontendSession session, CancellationToken cancellation)
    {
        byte[] config = await ReadConfigAsync(session, cancellation).ConfigureAwait(false);
        VirtioDeviceModel model = _model!;
        _guest.Post(() => model.SetConfig(config));
    }

    /// <summary>Maps the guest's memory anew, and tells who waits for that.</summary>
    private async Task RemapAsync(CancellationToken cancellation)
    {
        // Those who come during the mapping wait for the next one: theirs may be a page that this one still saw.
        int waiting = _remapWaiters.Count;
        _memoryIsStale = true;
        if (_running.Count != 0 && !Options.Grants)
            await GuardAsync("SET_MEM_TABLE", session => SetMemoryAsync(session, cancellation)).ConfigureAwait(false);

        while (waiting-- > 0 && _remapWaiters.TryDequeue(out TaskCompletionSource? waiter))
            waiter.TrySetResult();
    }
}
