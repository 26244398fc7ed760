using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenModel.Domains;

namespace XenModel.Drivers;

/// <summary>evtchn in this process: an eventfd that is readable while ports wait.</summary>
internal sealed class ModelEvtchn : IEvtchn
{
    private readonly EvtchnDevice _device;
    private readonly EventFd _ready = EventFd.Create();
    private readonly Queue<uint> _ports = new();

    public ModelEvtchn(Hypervisor hypervisor, Domain caller) => _device = new EvtchnDevice(hypervisor, caller, Deliver);

    public FileDescriptor Descriptor => _ready.Handle;

    public uint BindInterdomain(ushort domid, uint remotePort) =>
        (uint)XenException.Check(_device.BindInterdomain(domid, remotePort), $"EVTCHN_BIND_INTERDOMAIN port {remotePort}", domid);

    public uint BindUnbound(ushort domid) => (uint)XenException.Check(_device.BindUnbound(domid), "EVTCHN_BIND_UNBOUND_PORT", domid);

    public uint BindVirq(Virq virq) => (uint)XenException.Check(_device.BindVirq(virq), $"EVTCHN_BIND_VIRQ {virq}");

    public void Unbind(uint port) => XenException.Check(_device.Unbind(port), $"EVTCHN_UNBIND port {port}");

    public int Notify(uint port) => _device.Notify(port);

    public int ReadPorts(Span<uint> ports)
    {
        lock (_ports)
        {
            int count = 0;
            while (count < ports.Length && _ports.TryDequeue(out uint port)) ports[count++] = port;
            if (_ports.Count == 0) _ready.Drain();
            return count;
        }
    }

    public int Unmask(ReadOnlySpan<uint> ports)
    {
        foreach (uint port in ports) _device.Unmask(port);
        return 0;
    }

    public void Restrict(ushort domid) => XenException.Check(_device.Restrict(domid), "EVTCHN_RESTRICT_DOMID", domid);

    public void Dispose()
    {
        _device.Close();
        lock (_ports) _ready.Dispose();
    }

    // Each port is here at most once: it is masked until it is read and unmasked.
    private void Deliver(uint port)
    {
        lock (_ports)
        {
            _ports.Enqueue(port);
            _ready.Signal();
        }
    }
}
