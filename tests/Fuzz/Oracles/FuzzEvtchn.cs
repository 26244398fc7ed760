using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

namespace Fuzz.Oracles;

/// <summary>Event channels that count: remote ports from 1000 on exist, local ones are the same plus 1000.</summary>
internal sealed class FuzzEvtchn(int remotes) : IEvtchn
{
    private readonly EventFd _readable = EventFd.Create();
    private readonly HashSet<uint> _bound = [];

    public FileDescriptor Descriptor => _readable.Handle;

    public int Bound => _bound.Count;

    /// <summary>Notifications by local port.</summary>
    public Dictionary<uint, int> Notified { get; } = [];

    public static uint PortOf(int vcpu) => 2000 + (uint)vcpu;

    public uint BindInterdomain(ushort domid, uint remotePort)
    {
        uint port = remotePort + 1000;
        if (remotePort < 1000 || remotePort >= 1000 + remotes || !_bound.Add(port))
            throw new XenException($"EVTCHN_BIND_INTERDOMAIN port {remotePort}", domid, EINVAL);

        return port;
    }

    public uint BindUnbound(ushort domid) => throw new NotSupportedException();

    public uint BindVirq(Virq virq) => throw new NotSupportedException();

    public void Unbind(uint port) => Engine.FindingException.Require(_bound.Remove(port), "a port is unbound that is not bound");

    public int Notify(uint port)
    {
        if (!_bound.Contains(port))
            return -ENOTCONN;

        Notified[port] = Notified.GetValueOrDefault(port) + 1;
        return 0;
    }

    public int ReadPorts(Span<uint> ports) => 0;

    public int Unmask(ReadOnlySpan<uint> ports) => 0;

    public void Restrict(ushort domid)
    {
    }

    public void Dispose() => _readable.Dispose();
}
