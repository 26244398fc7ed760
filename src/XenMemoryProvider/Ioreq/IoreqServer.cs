using XenMemoryProvider.Abi;
using XenMemoryProvider.Events;
using XenMemoryProvider.Kernel;

namespace XenMemoryProvider.Ioreq;

/// <summary>
/// An ioreq server of one guest: it claims ports, memory and PCI functions, and answers what virtual CPUs access there.
/// One thread serves; answers may come from others. Xen keeps the server until it is destroyed, even past the end of this
/// process: see <see cref="IoreqServerLedger"/>.
/// </summary>
/// <remarks>
/// A slot's state only ever moves forward, by compare and exchange from the state it must be in: Xen crashes the domain for
/// a step back. What else is in the page is not believed.
/// </remarks>
public sealed unsafe partial class IoreqServer : IDisposable
{
    private readonly EventChannels _events;
    private readonly XenMapping _pages;
    private readonly Answer[] _answers;
    private readonly Dictionary<uint, int> _vcpus = [];
    private readonly Lock _lock = new();
    private bool _disposed;

    private IoreqServer(DeviceModel model, EventChannels events, ushort id, XenMapping pages, int vcpus)
    {
        Model = model;
        Id = id;
        _events = events;
        _pages = pages;
        _answers = new Answer[vcpus];
    }

    public DeviceModel Model { get; }

    /// <summary>0..7.</summary>
    public ushort Id { get; }

    /// <summary>How many virtual CPUs the guest has at most.</summary>
    public int VcpuCount => _answers.Length;

    /// <summary>Requests taken.</summary>
    public long Requests { get; private set; }

    /// <summary>Requests that Xen would not send: somebody scribbled on the page. They read all ones.</summary>
    public long Malformed { get; private set; }

    /// <summary>Answers that found their slot in another state than they left it in.</summary>
    public long Lost { get; private set; }

    /// <summary>
    /// Creates a server without a buffered ring (nothing that is claimed here is buffered) and maps its pages, which must
    /// be done before it is enabled: Xen writes the ports into them then.
    /// </summary>
    /// <param name="model">The guest.</param>
    /// <param name="events">Where its ports are bound; the caller's.</param>
    /// <exception cref="XenException">ENOSPC: the guest has eight; ESRCH; EPERM; EOPNOTSUPP: a kernel before 4.18.</exception>
    public static IoreqServer Create(DeviceModel model, EventChannels events)
    {
        int vcpus = model.NrVcpus();
        ushort id = model.CreateIoreqServer(DmOp.BufferedIoreq.Off);
        try
        {
            int pages = (vcpus + Abi.Ioreq.SlotsPerPage - 1) / Abi.Ioreq.SlotsPerPage;
            XenMapping mapping = model.Privcmd.MapResource(model.Domid, MemoryOp.ResourceType.IoreqServer, id, MemoryOp.IoreqServerFrameIoreq, pages);
            return new IoreqServer(model, events, id, mapping, vcpus);
        }
        catch
        {
            Quietly(() => model.DestroyIoreqServer(id));
            throw;
        }
    }

    /// <summary>Claims I/O ports; both ends are within the range.</summary>
    /// <exception cref="XenException">As <see cref="DeviceModel.MapIoRangeToIoreqServer"/>.</exception>
    public void MapPorts(ushort first, ushort last) => Model.MapIoRangeToIoreqServer(Id, DmOp.IoRangeType.Port, first, last);

    /// <inheritdoc cref="DeviceModel.UnmapIoRangeFromIoreqServer"/>
    public void UnmapPorts(ushort first, ushort last) => Model.UnmapIoRangeFromIoreqServer(Id, DmOp.IoRangeType.Port, first, last);

    /// <summary>Claims guest-physical addresses where no RAM is; both ends are within the range.</summary>
    /// <exception cref="XenException">As <see cref="DeviceModel.MapIoRangeToIoreqServer"/>.</exception>
    public void MapMemory(ulong first, ulong last) => Model.MapIoRangeToIoreqServer(Id, DmOp.IoRangeType.Memory, first, last);

    /// <inheritdoc cref="DeviceModel.UnmapIoRangeFromIoreqServer"/>
    public void UnmapMemory(ulong first, ulong last) => Model.UnmapIoRangeFromIoreqServer(Id, DmOp.IoRangeType.Memory, first, last);

    /// <summary>Claims the configuration space of one PCI function.</summary>
    /// <param name="sbdf">See <see cref="DmOp.PciSbdf"/>.</param>
    /// <exception cref="XenException">As <see cref="DeviceModel.MapIoRangeToIoreqServer"/>.</exception>
    public void MapPci(uint sbdf) => Model.MapIoRangeToIoreqServer(Id, DmOp.IoRangeType.Pci, sbdf, sbdf);

    /// <inheritdoc cref="DeviceModel.UnmapIoRangeFromIoreqServer"/>
    public void UnmapPci(uint sbdf) => Model.UnmapIoRangeFromIoreqServer(Id, DmOp.IoRangeType.Pci, sbdf, sbdf);

    /// <summary>Lets claims count, and binds the port of every virtual CPU the first time.</summary>
    /// <exception cref="XenException">EINVAL: the page names a port that Xen did not make; ESRCH; ENOENT.</exception>
    public void Enable()
    {
        Model.SetIoreqServerState(Id, enabled: true);
        for (int vcpu = _vcpus.Count; vcpu < VcpuCount; vcpu++)
        {
            uint port = _events.BindInterdomain(Model.Domid, Volatile.Read(ref Slot(vcpu)->VpEport));
            _answers[vcpu].Port = port;
            _vcpus.Add(port, vcpu);
        }
    }

    /// <summary>Claims count no more; requests under way are still to be answered.</summary>
    /// <exception cref="XenException">ESRCH; ENOENT.</exception>
    public void Disable() => Model.SetIoreqServerState(Id, enabled: false);

    /// <summary>
    /// Disabled, answered, destroyed, unmapped, unbound, in this order. Whoever waits for an answer reads all ones. Never throws:
    /// the domain may be gone.
    /// </summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed) return;
            _disposed = true;
        }

        Quietly(Disable); // After this no request comes any more.
        AnswerWhoWaits();
        Quietly(() => Model.DestroyIoreqServer(Id));
        _pages.Dispose();
        foreach (uint port in _vcpus.Keys) Quietly(() => _events.Unbind(port));
    }

    // Xen never wakes a virtual CPU whose server goes while it waits (seen with 4.17).
    private void AnswerWhoWaits()
    {
        for (int vcpu = 0; vcpu < _vcpus.Count; vcpu++)
        {
            Abi.Ioreq* slot = Slot(vcpu);
            ref byte state = ref State(slot);
            if (!Abi.Ioreq.TryMove(ref state, IoreqState.Ready, IoreqState.InProcess) && Abi.Ioreq.StateOf(ref state) != IoreqState.InProcess) continue;
            Volatile.Write(ref slot->Data, ulong.MaxValue);
            Abi.Ioreq.TryMove(ref state, IoreqState.InProcess, IoreqState.ResponseReady);
            _ = _events.Notify(_answers[vcpu].Port);
        }
    }

    private static void Quietly(Action step)
    {
        try
        {
            step();
        }
        catch (Exception e) when (e is XenException or ObjectDisposedException)
        {
            // The domain, or the device's owner, was faster.
        }
    }

    // SAFETY: vcpu < VcpuCount, and the mapping has a slot for each.
    private Abi.Ioreq* Slot(int vcpu) => (Abi.Ioreq*)_pages.Pointer + vcpu;

    /// <summary>What is known of a virtual CPU's request without looking at its slot again.</summary>
    private struct Answer
    {
        public uint Port;
        public bool Pending;
        public bool WantsValue;
    }
}
