using Microsoft.Extensions.Logging;
using VhostUser.Session;
using VhostXen.Linux;
using XenMemoryProvider.Events;
using XenMemoryProvider.Ioreq;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Store;
using XenVhostMaster.Frontends;
using XenVhostMaster.Transports.Pci;

namespace XenVhostMaster.Domains;

/// <summary>
/// One guest from attach to detach: owns its Xen handles, its ioreq server, the thread that answers, and its devices.
/// </summary>
internal sealed partial class GuestSession : IGuestSide, IAsyncDisposable
{
    // BARs end below the interrupt controllers, whatever the hole.
    private const ulong BarWindowEnd = 0xfebf_ffff;
    private const uint FirstBar = 0xfc00_0000;
    private const int FirstSlotBesideQemu = 16;

    private readonly IXenKernel _kernel;
    private readonly IPrivcmd _privcmd;
    private readonly EventChannels _events;
    private readonly IoreqServerLedger _ledger;
    private readonly IoThread _io;
    private readonly GuestMemory _memory;
    private readonly MemoryLayout _layout;
    private readonly IoreqServer _server;
    private readonly PciBus _bus;
    private readonly IoreqDispatcher _dispatcher;
    private readonly GuestPciSink _sink;
    private readonly ILogger _logger;
    private readonly List<AttachedDevice> _devices = [];
    private readonly SemaphoreSlim _changing = new(1, 1);
    private readonly CancellationTokenSource _closing = new();
    private readonly List<EventFd> _signals = [];

    private GuestSession(IXenKernel kernel, GuestIdentity identity, IPrivcmd privcmd, EventChannels events, IoreqServer server, IoreqServerLedger ledger, ILogger logger)
    {
        _kernel = kernel;
        _privcmd = privcmd;
        _events = events;
        _server = server;
        _ledger = ledger;
        _logger = logger;
        Identity = identity;
        _memory = new GuestMemory(kernel, privcmd, identity.Domid);
        _layout = MemoryLayout.Find(privcmd, _memory, identity.Domid);
        var counters = new IoreqCounters();
        _sink = new GuestPciSink(server.Model, server, counters, identity.ToString(), logger);
        _bus = new PciBus(_sink, _layout.HoleStart, BarWindowEnd);
        _dispatcher = new IoreqDispatcher(_bus, _memory, counters) { Invalidated = OnInvalidated };
        _io = new IoThread($"guest {identity.Domid}", logger);
    }

    public GuestIdentity Identity { get; }

    public IoreqCounters Counters => _dispatcher.Counters;

    /// <summary>The devices at this moment.</summary>
    public IReadOnlyList<AttachedDevice> Devices
    {
        get
        {
            lock (_devices)
                return [.. _devices];
        }
    }

    /// <summary>Takes a guest over, best while it is paused: waits for its back-ends, then claims and answers.</summary>
    /// <exception cref="IOException">Xen, xenstore or a back-end refused.</exception>
    public static async Task<GuestSession> AttachAsync(
        IXenKernel kernel, XenStore store, GuestIdentity identity, IReadOnlyList<DeviceOptions> devices, ILogger logger, CancellationToken cancellation)
    {
        IPrivcmd privcmd = kernel.OpenPrivcmd();
        EventChannels? events = null;
        IoreqServer? server = null;
        GuestSession? guest = null;
        try
        {
            events = new EventChannels(kernel.OpenEvtchn());
            var model = new DeviceModel(privcmd, identity.Domid);
            var ledger = new IoreqServerLedger(store);
            if (await ledger.DestroyLeftoverAsync(model, cancellation).ConfigureAwait(false) is { } leftover)
                logger.LeftoverDestroyed(identity.ToString(), leftover);

            server = IoreqServer.Create(model, events);
            await ledger.RecordAsync(server, cancellation).ConfigureAwait(false);
            guest = new GuestSession(kernel, identity, privcmd, events, server, ledger, logger);
            await guest.BringUpAsync(devices, cancellation).ConfigureAwait(false);
            return guest;
        }
        catch when (guest is not null)
        {
            await guest.DisposeAsync().ConfigureAwait(false);
            throw;
        }
        catch
        {
            server?.Dispose();
            events?.Dispose();
            privcmd.Dispose();
            throw;
        }
    }

    void IGuestSide.Post(Action action) => _io.Post(action);

    IReadOnlyList<FrontendRegion> IGuestSide.ForeignRegions()
        => GuestRegions.Foreign(_layout, Identity.Domid, () => RegionFile.Open(_kernel, Identity.Domid, grant: false));

    IReadOnlyList<FrontendRegion> IGuestSide.GrantRegions(IReadOnlyList<(ulong Start, ulong Length)> rings)
        => GuestRegions.Grants(Identity.Domid, rings, () => RegionFile.Open(_kernel, Identity.Domid, grant: true));

    ushort IGuestSide.ReadUInt16(ulong address)
    {
        if ((address & GuestRegions.GrantBit) != 0 && _memory.TryReadGrant(address, out ushort granted))
            return granted;

        return _memory.TryRead(address, sizeof(ushort), out ulong value) ? (ushort)value : throw new IOException($"guest address 0x{address:x} is no memory");
    }

    void IGuestSide.Watch(EventFd fd, Action handler) => _io.Add(fd.Handle, handler);

    void IGuestSide.SignalAfterReply(EventFd fd)
    {
        if (!_signals.Contains(fd))
            _signals.Add(fd);
    }

    void IGuestSide.Unwatch(EventFd fd) => _io.Remove(fd.Handle);

    /// <summary>Stops the devices, gives the ioreq server back, closes everything.</summary>
    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync().ConfigureAwait(false);
        foreach (AttachedDevice device in Devices)
            await DetachAsync(device).ConfigureAwait(false);

        IoreqCounters counters = Counters;
        _io.Stop();
        try
        {
            // Forgotten first: an entry must never name a server that somebody else made since.
            await _ledger.ForgetAsync(Identity.Domid).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or TimeoutException)
        {
            _logger.OperationFailed(Identity.ToString(), "forgetting the ioreq server", e.Message);
        }

        _server.Dispose();
        _events.Dispose();
        _privcmd.Dispose();
        _io.Dispose();
        _changing.Dispose();
        _closing.Dispose();
        _logger.Detached(Identity.ToString(), counters.Total, counters.Ports, counters.Memory, counters.Pci, counters.Invalidates, _kicks, counters.Interrupts);
    }

    private async Task BringUpAsync(IReadOnlyList<DeviceOptions> devices, CancellationToken cancellation)
    {
        if (Identity.Kind == GuestKind.Pvh)
        {
            _server.MapPorts(IoreqDispatcher.ConfigAddress, IoreqDispatcher.ConfigData + 3);
            _server.MapPci(0);
            _bus.Add(0, new HostBridge());
        }

        _io.Add(_events.Descriptor, OnEvents);
        _io.Start();
        foreach (DeviceOptions device in devices)
            await AttachAsync(device, cancellation).ConfigureAwait(false);

        await _io.InvokeAsync(() =>
        {
            _server.Enable();
            int served = _server.ServeAll(_dispatcher);
            SendSignals();
            return served;
        }).ConfigureAwait(false);
        Restrict();
        _logger.Attached(Identity.ToString(), _server.Id, _server.VcpuCount, _layout.Total >> 20, _layout.Banks.Count, Identity.Kind.ToString());
    }

    /// <summary>From here on the handles are good for this domain only.</summary>
    private void Restrict()
    {
        try
        {
            _events.Restrict(Identity.Domid);
            _privcmd.Restrict(Identity.Domid);
        }
        catch (XenException e)
        {
            _logger.NotRestricted(Identity.ToString(), e.Message);
        }
    }

    /// <summary>Once per wake-up: what is pending still wakes again, and asking in vain costs a system call on every kick.</summary>
    private void OnEvents()
    {
        Span<uint> ports = stackalloc uint[64];
        int count = _events.Take(ports);
        for (int i = 0; i < count; i++)
        {
            _server.Serve(ports[i], _dispatcher);
            SendSignals();
        }
    }

    private void SendSignals()
    {
        foreach (EventFd fd in _signals)
            fd.Signal();

        _signals.Clear();
    }

    /// <summary>
    /// The guest gave pages back. Its virtual CPU goes on when every back-end has let go of them: it could get other pages in
    /// the same places next.
    /// </summary>
    private bool OnInvalidated(int vcpu)
    {
        Task[] remaps = [.. Devices.Select(static device => device.Link.MemoryChangedAsync())];
        if (remaps.Length == 0)
            return true;

        _ = Task.WhenAll(remaps).ContinueWith(_ => _server.Complete(vcpu, ulong.MaxValue), TaskScheduler.Default);
        return false;
    }
}
