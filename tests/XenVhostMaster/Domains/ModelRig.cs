using TestKit;
using VhostUser.Devices;
using VhostUser.Session;
using XenMemoryProvider.Memory;
using XenMemoryProvider.Store;
using XenModel;
using XenModel.Domains;
using XenModel.Drivers;
using XenModel.Store;
using XenVhostMaster.Domains;
using XenVhostMaster.Frontends;

namespace XenVhostMaster.Tests.Domains;

/// <summary>A whole Xen host in this process: hypervisor, xenstore, a guest, the master, back-ends.</summary>
internal sealed class ModelRig : IAsyncDisposable
{
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly string _folder = Directory.CreateTempSubdirectory("master-").FullName;
    private readonly XenStoreDaemon _xenstored;
    private readonly List<SocketBackend> _backends = [];
    private GuestSession? _session;

    public ModelRig(DomainType type = DomainType.PVH, int memoryMiB = 16, int vcpus = 2, HypervisorOptions? options = null)
    {
        Xen = new Hypervisor(options);
        _xenstored = new XenStoreDaemon(Xen);
        Kernel = new ModelXenKernel(Xen, xenstore: _xenstored.Connect);
        Store = XenStore.Open(Kernel);
        Guest = Xen.CreateDomain(new DomainOptions { Name = "guest", Type = type, MemoryMiB = memoryMiB, Vcpus = vcpus });
        Driver = new PciDriver(Guest, 1);
    }

    public Hypervisor Xen { get; }

    public ModelXenKernel Kernel { get; }

    public XenStore Store { get; }

    public Domain Guest { get; }

    public RecordingLogger Log { get; } = new();

    public RecordingLogger BackendLog { get; } = new();

    /// <summary>The driver of the device in slot 1.</summary>
    public PciDriver Driver { get; }

    public GuestSession Session => _session ?? throw new InvalidOperationException("not attached");

    public string Socket(string name) => Path.Combine(_folder, name);

    /// <summary>Starts a back-end.</summary>
    public async Task<SocketBackend> BackendAsync(string name, VirtioDevice device, SessionOptions? options = null)
    {
        SocketBackend backend = await SocketBackend.StartAsync(Socket(name), device, new XenGuestMemoryProvider(Kernel), BackendLog, options);
        _backends.Add(backend);
        return backend;
    }

    /// <summary>What a command line would say of an echo device.</summary>
    public DeviceOptions Device(string name, int? slot = null, bool grants = false)
        => new() { Backend = new BackendOptions { Kind = DeviceKind.FromId(42), Socket = Socket(name), Grants = grants }, Slot = slot };

    /// <summary>The master takes the guest over and the guest runs.</summary>
    public async Task<GuestSession> AttachAsync(params DeviceOptions[] devices)
    {
        GuestIdentity identity = (await GuestIdentity.FindAsync(Store, Guest.Id, CancellationToken.None))!.Value;
        _session = await GuestSession.AttachAsync(Kernel, Store, identity, devices, Log, CancellationToken.None).WaitAsync(Deadline);
        Guest.Unpause();
        return _session;
    }

    /// <summary>An echo device in slot 1, its driver ready.</summary>
    public async Task<(EchoDevice Device, SocketBackend Backend)> EchoAsync(SessionOptions? options = null)
    {
        var device = new EchoDevice();
        SocketBackend backend = await BackendAsync("echo", device, options);
        await AttachAsync(Device("echo"));
        await Task.Run(() => Driver.BringUp(Deadline)).WaitAsync(Deadline);
        return (device, backend);
    }

    public async Task DetachAsync()
    {
        if (Interlocked.Exchange(ref _session, null) is { } session)
            await session.DisposeAsync().AsTask().WaitAsync(Deadline);
    }

    public async ValueTask DisposeAsync()
    {
        await DetachAsync();
        foreach (SocketBackend backend in _backends)
            await backend.DisposeAsync();

        await Store.DisposeAsync();
        await _xenstored.DisposeAsync();
        Xen.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}
