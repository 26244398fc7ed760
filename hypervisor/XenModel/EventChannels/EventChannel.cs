using XenMemoryProvider.Abi;
using XenModel.Domains;

namespace XenModel.EventChannels;

/// <summary>One port of a domain.</summary>
internal sealed class EventChannel(uint port)
{
    public uint Port { get; } = port;

    public EventChannelOp.ChannelState State { get; set; } = EventChannelOp.ChannelState.Closed;

    /// <summary>Unbound: who may bind.</summary>
    public ushort UnboundDomid { get; set; }

    /// <summary>Interdomain: the other end.</summary>
    public Domain? Remote { get; set; }

    public uint RemotePort { get; set; }

    public Virq Virq { get; set; }

    public uint Pirq { get; set; }

    /// <summary>The virtual CPU it notifies.</summary>
    public uint Vcpu { get; set; }

    /// <summary>Attached to Xen (an ioreq server's port): the guest may neither send on nor close it, and this is who is notified.</summary>
    public Action? XenConsumer { get; set; }

    /// <summary>A driver of the domain that takes the events instead of its guest memory.</summary>
    public IEventSink? Sink { get; set; }

    // FIFO only.
    public uint Priority { get; set; } = EventFifo.PriorityDefault;

    /// <summary>Remembered while its page of event words is missing.</summary>
    public bool Pending { get; set; }

    public uint LastVcpu { get; set; }

    public uint LastPriority { get; set; } = EventFifo.PriorityDefault;

    public bool IsFree => State == EventChannelOp.ChannelState.Closed;

    public void Free()
    {
        State = EventChannelOp.ChannelState.Closed;
        UnboundDomid = 0;
        Remote = null;
        RemotePort = 0;
        Vcpu = 0;
        XenConsumer = null;
        Sink = null;
        Pending = false;
        Priority = EventFifo.PriorityDefault;
    }
}
