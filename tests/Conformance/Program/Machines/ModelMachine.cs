using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenModel;
using XenModel.Domains;
using XenModel.Drivers;
using XenModel.Store;

namespace Conformance.Machines;

/// <summary>A model of its own in this process. Guests are made when a script asks for them.</summary>
internal sealed class ModelMachine : Machine
{
    // What Xen sees by chance the model would see always.
    private readonly Hypervisor _xen = new(new HypervisorOptions { StrictIoreqStates = false });
    private XenStoreDaemon? _store;
    private Domain? _pvh, _hvm;
    private Agent? _agent;
    private IPrivcmd? _privcmd;

    public ModelMachine() => Kernel = new ModelXenKernel(_xen, xenstore: domid => Store.Connect(domid));

    public override string Title => "model";

    public override IXenKernel Kernel { get; }

    public override ushort Pvh => (_pvh ??= Create("pvh", DomainType.PVH)).Id;

    public override ushort Hvm => (_hvm ??= CreateHvm()).Id;

    private XenStoreDaemon Store => _store ??= new XenStoreDaemon(_xen);

    public override ushort CreateVictim() => Create("victim", DomainType.PVH).Id;

    public override Agent Agent => _agent ??= CreateAgent();

    public override Stream OpenGuestStore() => Store.Connect(Agent.Domid);

    public override Agent CreateAgent()
    {
        Domain domain = _xen.CreateDomain(new DomainOptions { Name = "agent", Type = DomainType.PVH, MemoryMiB = GuestMemoryMiB, Vcpus = 2, Paused = false });

        // xl's part: a domain that crashed is destroyed.
        _xen.Watch(changed =>
        {
            if (changed == domain && domain.Shutdown is not null) _xen.DestroyDomain(domain.Id);
        });
        var agent = new ModelAgent(_privcmd ??= Kernel.OpenPrivcmd(), domain);

        // The other agent calls Xen all the time: it has heard of the page that made room for the shared info.
        agent.Hypercall(Hypercall.SchedOp, 0);
        return agent;
    }

    public override void Destroy(ushort domid) => _xen.DestroyDomain(domid);

    public override void Dispose()
    {
        _agent?.Dispose();
        _privcmd?.Dispose();
        _store?.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _xen.Dispose();
    }

    private Domain Create(string name, DomainType type) =>
        _xen.CreateDomain(new DomainOptions { Name = name, Type = type, MemoryMiB = GuestMemoryMiB, Vcpus = 2 });

    // xl starts QEMU for it, which makes the first ioreq server.
    private Domain CreateHvm()
    {
        Domain domain = Create("hvm", DomainType.HVM);
        using IPrivcmd privcmd = Kernel.OpenPrivcmd();
        var create = new DmOp.Call { Op = DmOp.Command.CreateIoreqServer, CreateIoreqServer = new() { HandleBufioreq = DmOp.BufferedIoreq.Atomic } };
        privcmd.DmOp(domain.Id, ref create);
        var enable = new DmOp.Call { Op = DmOp.Command.SetIoreqServerState, SetIoreqServerState = new() { Id = create.CreateIoreqServer.Id, Enabled = 1 } };
        privcmd.DmOp(domain.Id, ref enable);
        return domain;
    }
}
