using Backends.Block.Device;
using Backends.Block.Stores;
using Fuzz.Engine;
using Fuzz.Oracles;
using TestKit;
using VhostUser.Devices;
using XenMemoryProvider.Memory;
using XenMemoryProvider.Store;
using XenModel;
using XenModel.Domains;
using XenModel.Drivers;
using XenModel.Guests;
using XenModel.Store;
using XenVhostMaster.Domains;
using XenVhostMaster.Frontends;

namespace Fuzz.Targets.Registers;

/// <summary>
/// A whole Xen host in this process: hypervisor, xenstore, the master's sessions, back-ends behind sockets. One guest is
/// hostile, and gets a new life whenever it has died; another one, beside it, uses its disk and verifies every byte.
/// </summary>
internal sealed class AttackedHost : IDisposable
{
    public const int DiskSlot = 1, EchoSlot = 2, GrantSlot = 3;
    public const ulong MmioBase = 0x200_0000;
    private const int MemoryMiB = 4;
    private static int s_hosts;
    private const ulong VictimDisk = 16 << 20;

    // Nothing but numbers in what tells it from others: behaviours are told apart without them.
    private readonly string _folder = Directory.CreateDirectory(Path.Combine(Path.GetTempPath(), $"fuzz-{Environment.ProcessId}{Interlocked.Increment(ref s_hosts)}")).FullName;
    private readonly Hypervisor _xen = new();
    private readonly XenStoreDaemon _xenstored;
    private readonly ModelXenKernel _kernel;
    private readonly XenStore _store;
    private readonly List<SocketBackend> _backends = [];
    private readonly GuestSession _victimSession;
    private readonly DiskGuest _victim;
    private GuestSession _session = null!;
    private long _victimRequests;

    public AttackedHost()
    {
        _xenstored = new XenStoreDaemon(_xen);
        _kernel = new ModelXenKernel(_xen, xenstore: _xenstored.Connect);
        _store = XenStore.Open(_kernel);
        Serve("disk", Disk(1 << 20));
        Serve("echo", new EchoDevice());
        Serve("grants", new EchoDevice(1));
        Serve("mmio", new EchoDevice());
        Serve("victim", Disk(VictimDisk));
        Domain victim = _xen.CreateDomain(new DomainOptions { Name = "victim", MemoryMiB = MemoryMiB });
        _victimSession = Attach(victim, [Device("victim", 2, DiskSlot)]);
        victim.Unpause();
        _victim = DiskGuest.Start(victim, new DiskGuestOptions { Seed = 1, Requests = int.MaxValue, Queues = 1, Depth = 2 });
        BeBorn();
        CheckVictim();
    }

    public Complaints Complaints { get; } = new();

    /// <summary>The hostile guest.</summary>
    public Domain Guest { get; private set; } = null!;

    public IoreqCounters Counters => _session.Counters;

    public int Lives { get; private set; }

    /// <summary>What the guest beside has done so far, and verified.</summary>
    public DiskGuest Victim => _victim;

    /// <summary>The hostile guest is destroyed from outside, in the middle of whatever it does.</summary>
    public void Kill() => _xen.DestroyDomain(Guest.Id);

    /// <summary>Another one takes its place, with the same devices.</summary>
    public void BeReborn()
    {
        Rig.Wait(_session.DisposeAsync().AsTask());
        BeBorn();
    }

    /// <exception cref="FindingException">The guest beside has seen something wrong, or nothing at all any more.</exception>
    public void CheckVictim()
    {
        FindingException.Require(
            SpinWait.SpinUntil(() => _victim.HasEnded || _victim.Counters.Requests > _victimRequests, Rig.Deadline), "the guest beside waits for ever");
        FindingException.Require(!_victim.HasEnded, $"the guest beside was harmed: {_victim.Failure}");
        _victimRequests = _victim.Counters.Requests;
    }

    public void Dispose()
    {
        _xen.DestroyDomain(_victimSession.Identity.Domid);
        Kill();
        Rig.Wait(_session.DisposeAsync().AsTask());
        Rig.Wait(_victimSession.DisposeAsync().AsTask());
        FindingException.Require(_victim.Wait(Rig.Deadline), "the guest beside does not end");
        foreach (SocketBackend backend in _backends)
            Rig.Wait(backend.DisposeAsync().AsTask());

        Rig.Wait(_store.DisposeAsync().AsTask());
        Rig.Wait(_xenstored.DisposeAsync().AsTask());
        _xen.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private void BeBorn()
    {
        Lives++;
        Guest = _xen.CreateDomain(new DomainOptions { Name = $"hostile-{Lives}", MemoryMiB = MemoryMiB, Vcpus = 2 });
        _session = Attach(Guest, [Device("disk", 2, DiskSlot), Device("echo", 42, EchoSlot), Device("grants", 42, GrantSlot, grants: true), Mmio()]);
        Guest.Unpause();
    }

    private BlockDevice Disk(ulong size) => new(new MemoryStore(size), new BlockDeviceOptions { Queues = 2 }, Complaints);

    private void Serve(string name, VirtioDevice device)
        => _backends.Add(Rig.Wait(SocketBackend.StartAsync(Socket(name), device, new XenGuestMemoryProvider(_kernel), Complaints)));

    private string Socket(string name) => Path.Combine(_folder, name);

    private DeviceOptions Device(string name, uint type, int slot, bool grants = false)
        => new() { Backend = new BackendOptions { Kind = DeviceKind.FromId(type), Socket = Socket(name), Grants = grants }, Slot = slot };

    private DeviceOptions Mmio() => new()
    {
        Backend = new BackendOptions { Kind = DeviceKind.FromId(42), Socket = Socket("mmio") },
        Transport = TransportKind.Mmio,
        MmioBase = MmioBase,
        Irq = 5,
    };

    private GuestSession Attach(Domain domain, DeviceOptions[] devices)
    {
        GuestIdentity identity = Rig.Wait(GuestIdentity.FindAsync(_store, domain.Id, CancellationToken.None))
            ?? throw new FindingException("a new domain has no name");
        return Rig.Wait(GuestSession.AttachAsync(_kernel, _store, identity, devices, Complaints, CancellationToken.None));
    }
}
