using Microsoft.Extensions.Logging;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Store;
using XenVhostMaster.Domains;

namespace XenVhostMaster.Hosting;

/// <summary>
/// Serves every guest whose virtio devices xl has written into xenstore. xl waits ten seconds for a back-end to say InitWait,
/// which this says when the device is in its place; and on destruction for it to say Closed.
/// </summary>
internal sealed class StoreFollower(IXenKernel kernel, XenStore store, string sockets, ILogger logger)
{
    private readonly DomainWatch _watch = new(store);
    private readonly Dictionary<ushort, Life> _guests = [];
    private readonly HashSet<string> _seen = [];

    /// <summary>The guests that are attached.</summary>
    public IReadOnlyList<GuestSession> Sessions
    {
        get
        {
            lock (_guests)
                return [.. _guests.Values.Select(static life => life.Session).OfType<GuestSession>()];
        }
    }

    public async Task RunAsync(CancellationToken cancellation)
    {
        try
        {
            await using XenStoreWatch disks = await store.WatchAsync(StoreDevice.DiskRoot, cancellation).ConfigureAwait(false);
            await using XenStoreWatch others = await store.WatchAsync(StoreDevice.Root, cancellation).ConfigureAwait(false);
            Task<string> disk = disks.NextAsync(cancellation).AsTask(), other = others.NextAsync(cancellation).AsTask();
            while (true)
            {
                Task<string> first = await Task.WhenAny(disk, other).ConfigureAwait(false);
                await first.ConfigureAwait(false);
                if (first == disk)
                    disk = disks.NextAsync(cancellation).AsTask();
                else
                    other = others.NextAsync(cancellation).AsTask();

                await ScanAsync(cancellation).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            // The process ends.
        }
        finally
        {
            foreach (Life life in _guests.Values.ToList())
                await life.EndAsync().ConfigureAwait(false);
        }
    }

    private async Task ScanAsync(CancellationToken cancellation)
    {
        List<StoreDevice> devices = await StoreDevice.ListAsync(store, cancellation).ConfigureAwait(false);
        lock (_guests)
            _seen.IntersectWith(devices.Select(static device => device.Path));

        foreach (StoreDevice device in devices)
        {
            int state = await device.GetStateAsync(store, cancellation).ConfigureAwait(false);
            if (state == (int)XenbusState.Initialising && _seen.Add(device.Path))
                LifeOf(device.Domid, cancellation).Add(device);
            else if (state == (int)XenbusState.Closing && _seen.Remove(device.Path))
                LifeOf(device.Domid, cancellation).Remove(device);
        }
    }

    private Life LifeOf(ushort domid, CancellationToken cancellation)
    {
        lock (_guests)
        {
            if (!_guests.TryGetValue(domid, out Life? life) || life.IsOver)
                _guests[domid] = life = new Life(this, domid, cancellation);

            return life;
        }
    }

    /// <summary>One guest: what it asks for is done one after the other, and all of it ends with the domain.</summary>
    private sealed class Life
    {
        private readonly StoreFollower _owner;
        private readonly ushort _domid;
        private readonly CancellationTokenSource _end;
        private readonly Dictionary<string, AttachedDevice> _devices = [];
        private readonly Lock _lock = new();
        private readonly Task _watching;
        private Task _work = Task.CompletedTask;

        public Life(StoreFollower owner, ushort domid, CancellationToken cancellation)
        {
            _owner = owner;
            _domid = domid;
            _end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            _watching = WatchAsync();
        }

        public GuestSession? Session { get; private set; }

        public bool IsOver => _end.IsCancellationRequested;

        public void Add(StoreDevice device) => Then(() => AttachAsync(device));

        public void Remove(StoreDevice device) => Then(() => DetachAsync(device));

        public async Task EndAsync()
        {
            await _end.CancelAsync().ConfigureAwait(false);
            await _watching.ConfigureAwait(false);
        }

        private void Then(Func<Task> step)
        {
            lock (_lock)
                _work = _work.ContinueWith(_ => GuardAsync(step), TaskScheduler.Default).Unwrap();
        }

        private async Task GuardAsync(Func<Task> step)
        {
            try
            {
                await step().ConfigureAwait(false);
            }
            catch (Exception e) when (e is IOException or OptionsException or InvalidOperationException or TimeoutException)
            {
                _owner.Log(_domid, e.Message);
            }
            catch (OperationCanceledException)
            {
                // The guest is gone.
            }
        }

        private async Task AttachAsync(StoreDevice device)
        {
            DeviceOptions options = await device.ReadAsync(_owner.Store, _owner.Sockets, _end.Token).ConfigureAwait(false);
            Session ??= await _owner.OpenAsync(_domid, options.Transport == TransportKind.Mmio, _end.Token).ConfigureAwait(false);
            _devices[device.Path] = await Session.AttachAsync(options, _end.Token).ConfigureAwait(false);
            await device.SetStateAsync(_owner.Store, (int)XenbusState.InitWait, _end.Token).ConfigureAwait(false);
        }

        private async Task DetachAsync(StoreDevice device)
        {
            if (_devices.Remove(device.Path, out AttachedDevice? attached) && Session is { } session)
                await session.DetachAsync(attached).ConfigureAwait(false);

            await device.SetStateAsync(_owner.Store, (int)XenbusState.Closed, _end.Token).ConfigureAwait(false);
        }

        private async Task WatchAsync()
        {
            try
            {
                await _owner.Watch.WaitForEndAsync(_domid, _end.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (e is IOException or TimeoutException or OperationCanceledException)
            {
                // No xenstore any more, or the process ends.
            }

            await _end.CancelAsync().ConfigureAwait(false);
            await _work.ConfigureAwait(false);
            if (Session is { } session)
            {
                Session = null;
                await session.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    private XenStore Store => store;

    private string Sockets => sockets;

    private DomainWatch Watch => _watch;

    private void Log(ushort domid, string cause) => logger.AttachFailed($"domain {domid}", cause);

    private async Task<GuestSession> OpenAsync(ushort domid, bool isArm, CancellationToken cancellation)
    {
        GuestIdentity identity = await GuestIdentity.FindAsync(store, domid, cancellation).ConfigureAwait(false)
            ?? throw new IOException("it has no name");
        return await GuestSession.AttachAsync(kernel, store, isArm ? identity with { Kind = GuestKind.Arm } : identity, [], logger, cancellation).ConfigureAwait(false);
    }
}
