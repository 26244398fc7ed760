using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.EventChannels;

namespace XenModel.Drivers;

/// <summary>One open of evtchn in a domain: a port is delivered once and then silent until it is unmasked.</summary>
/// <param name="deliver">Takes a port; called with the gate held, must not block.</param>
internal sealed class EvtchnDevice(Hypervisor hypervisor, Domain caller, Action<uint> deliver) : IEventSink
{
    private readonly Dictionary<uint, Port> _ports = [];
    private ushort? _restriction;
    private bool _closed;

    private HypercallContext Context => new(caller, null);

    /// <summary>The local port, or a negative errno.</summary>
    public int BindInterdomain(ushort domid, uint remotePort)
    {
        lock (hypervisor.Gate)
        {
            if (_restriction is { } only && only != domid) return -LibC.EACCES;
            var bind = new EventChannelOp.BindInterdomain { RemoteDom = domid, RemotePort = remotePort };
            int result = EventChannelOps.BindInterdomain(Context, ref bind);
            return result != 0 ? result : Own(bind.LocalPort, pending: true);
        }
    }

    /// <summary>The local port, or a negative errno.</summary>
    public int BindUnbound(ushort domid)
    {
        lock (hypervisor.Gate)
        {
            if (_restriction is not null) return -LibC.EACCES;
            var bind = new EventChannelOp.AllocUnbound { Dom = Domid.Self, RemoteDom = domid };
            int result = EventChannelOps.AllocUnbound(Context, ref bind);
            return result != 0 ? result : Own(bind.Port, pending: false);
        }
    }

    /// <summary>The local port, or a negative errno.</summary>
    public int BindVirq(Virq virq)
    {
        lock (hypervisor.Gate)
        {
            if (_restriction is not null) return -LibC.EACCES;
            var bind = new EventChannelOp.BindVirq { Virq = virq };
            int result = EventChannelOps.BindVirq(caller, ref bind);
            return result != 0 ? result : Own(bind.Port, pending: false);
        }
    }

    /// <summary>0; -ENOTCONN: not a port of this open; -EINVAL: no port at all.</summary>
    public int Unbind(uint port)
    {
        lock (hypervisor.Gate)
        {
            if (port >= (uint)caller.Events.Abi.ChannelCount) return -LibC.EINVAL;
            if (!_ports.Remove(port)) return -LibC.ENOTCONN;
            EventChannelOps.Close(caller, port);
            return 0;
        }
    }

    /// <summary>0, or -ENOTCONN: not a port of this open.</summary>
    public int Notify(uint port)
    {
        lock (hypervisor.Gate)
        {
            if (!_ports.ContainsKey(port)) return -LibC.ENOTCONN;
            EventChannelOps.Send(caller, port);
            return 0;
        }
    }

    /// <summary>Lets a port be delivered again. One that is not of this open is passed over.</summary>
    public void Unmask(uint port)
    {
        lock (hypervisor.Gate)
        {
            if (!_ports.TryGetValue(port, out Port? state) || !state.Masked) return;
            state.Masked = false;
            if (!state.Pending) return;
            state.Pending = false;
            Raise(port);
        }
    }

    /// <summary>0; -EACCES: restricted already; -EINVAL: not a real domain.</summary>
    public int Restrict(ushort domid)
    {
        lock (hypervisor.Gate)
        {
            if (_restriction is not null) return -LibC.EACCES;
            if (domid is 0 or >= Domid.FirstReserved) return -LibC.EINVAL;
            _restriction = domid;
            return 0;
        }
    }

    /// <summary>Closes every port; their other ends become unbound.</summary>
    public void Close()
    {
        lock (hypervisor.Gate)
        {
            if (_closed) return;
            _closed = true;
            foreach (uint port in _ports.Keys) EventChannelOps.Close(caller, port);
            _ports.Clear();
        }
    }

    public void Raise(uint port)
    {
        if (_closed || !_ports.TryGetValue(port, out Port? state)) return;
        if (state.Masked)
        {
            state.Pending = true;
            return;
        }

        state.Masked = true;
        deliver(port);
    }

    private int Own(uint port, bool pending)
    {
        EventChannel channel = caller.Events.Find(port)!;
        caller.Events.Abi.ClearPending(channel);
        channel.Sink = this;
        _ports.Add(port, new Port());
        if (pending) Raise(port);
        return (int)port;
    }

    private sealed class Port
    {
        public bool Masked { get; set; }

        public bool Pending { get; set; }
    }
}
