using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>Commands and arguments of event_channel_op (event_channel.h).</summary>
[CHeader("xen/event_channel.h")]
public static class EventChannelOp
{
    /// <summary><see cref="BindPirq.Flags"/>.</summary>
    [CConstant("BIND_PIRQ__WILL_SHARE")] public const uint BindPirqWillShare = 1;

    /// <summary>What to do.</summary>
    [CHeader("xen/event_channel.h")]
    public enum Command : uint
    {
        [CConstant("EVTCHNOP_bind_interdomain")] BindInterdomain = 0,
        [CConstant("EVTCHNOP_bind_virq")] BindVirq = 1,
        [CConstant("EVTCHNOP_bind_pirq")] BindPirq = 2,
        [CConstant("EVTCHNOP_close")] Close = 3,
        [CConstant("EVTCHNOP_send")] Send = 4,
        [CConstant("EVTCHNOP_status")] Status = 5,
        [CConstant("EVTCHNOP_alloc_unbound")] AllocUnbound = 6,
        [CConstant("EVTCHNOP_bind_ipi")] BindIpi = 7,
        [CConstant("EVTCHNOP_bind_vcpu")] BindVcpu = 8,
        [CConstant("EVTCHNOP_unmask")] Unmask = 9,
        [CConstant("EVTCHNOP_reset")] Reset = 10,
        [CConstant("EVTCHNOP_init_control")] InitControl = 11,
        [CConstant("EVTCHNOP_expand_array")] ExpandArray = 12,
        [CConstant("EVTCHNOP_set_priority")] SetPriority = 13,
    }

    /// <summary><see cref="Status.State"/>.</summary>
    [CHeader("xen/event_channel.h")]
    public enum ChannelState : uint
    {
        [CConstant("EVTCHNSTAT_closed")] Closed = 0,
        [CConstant("EVTCHNSTAT_unbound")] Unbound = 1,
        [CConstant("EVTCHNSTAT_interdomain")] Interdomain = 2,
        [CConstant("EVTCHNSTAT_pirq")] Pirq = 3,
        [CConstant("EVTCHNSTAT_virq")] Virq = 4,
        [CConstant("EVTCHNSTAT_ipi")] Ipi = 5,
    }

    /// <summary>Opens a port that another domain may bind.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 8)]
    [CStruct("struct evtchn_alloc_unbound", "xen/event_channel.h")]
    public struct AllocUnbound
    {
        [FieldOffset(0), CField("dom")] public ushort Dom;
        [FieldOffset(2), CField("remote_dom")] public ushort RemoteDom;
        /// <summary>Out.</summary>
        [FieldOffset(4), CField("port")] public uint Port;
    }

    /// <summary>Binds to a port that another domain opened.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 12)]
    [CStruct("struct evtchn_bind_interdomain", "xen/event_channel.h")]
    public struct BindInterdomain
    {
        [FieldOffset(0), CField("remote_dom")] public ushort RemoteDom;
        [FieldOffset(4), CField("remote_port")] public uint RemotePort;
        /// <summary>Out.</summary>
        [FieldOffset(8), CField("local_port")] public uint LocalPort;
    }

    /// <summary>Binds a virtual interrupt.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 12)]
    [CStruct("struct evtchn_bind_virq", "xen/event_channel.h")]
    public struct BindVirq
    {
        [FieldOffset(0), CField("virq")] public Virq Virq;
        [FieldOffset(4), CField("vcpu")] public uint Vcpu;
        /// <summary>Out.</summary>
        [FieldOffset(8), CField("port")] public uint Port;
    }

    /// <summary>Binds a physical interrupt.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 12)]
    [CStruct("struct evtchn_bind_pirq", "xen/event_channel.h")]
    public struct BindPirq
    {
        [FieldOffset(0), CField("pirq")] public uint Pirq;
        [FieldOffset(4), CField("flags")] public uint Flags;
        /// <summary>Out.</summary>
        [FieldOffset(8), CField("port")] public uint Port;
    }

    /// <summary>Opens a port between virtual CPUs.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 8)]
    [CStruct("struct evtchn_bind_ipi", "xen/event_channel.h")]
    public struct BindIpi
    {
        [FieldOffset(0), CField("vcpu")] public uint Vcpu;
        /// <summary>Out.</summary>
        [FieldOffset(4), CField("port")] public uint Port;
    }

    /// <summary>Closes a port; the other end becomes unbound.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct evtchn_close", "xen/event_channel.h")]
    public struct Close
    {
        [FieldOffset(0), CField("port")] public uint Port;
    }

    /// <summary>Signals the other end.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct evtchn_send", "xen/event_channel.h")]
    public struct Send
    {
        [FieldOffset(0), CField("port")] public uint Port;
    }

    /// <summary>What a port is.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct evtchn_status", "xen/event_channel.h")]
    public struct Status
    {
        [FieldOffset(0), CField("dom")] public ushort Dom;
        [FieldOffset(4), CField("port")] public uint Port;
        /// <summary>Out.</summary>
        [FieldOffset(8), CField("status")] public ChannelState State;
        /// <summary>Out: whom it notifies.</summary>
        [FieldOffset(12), CField("vcpu")] public uint Vcpu;
        /// <summary>Out, unbound: who may bind.</summary>
        [FieldOffset(16), CField("u.unbound.dom")] public ushort UnboundDom;
        /// <summary>Out, interdomain.</summary>
        [FieldOffset(16), CField("u.interdomain.dom")] public ushort InterdomainDom;
        /// <summary>Out, interdomain.</summary>
        [FieldOffset(20), CField("u.interdomain.port")] public uint InterdomainPort;
        /// <summary>Out, pirq.</summary>
        [FieldOffset(16), CField("u.pirq")] public uint Pirq;
        /// <summary>Out, virq.</summary>
        [FieldOffset(16), CField("u.virq")] public Virq Virq;
    }

    /// <summary>Moves a port to a virtual CPU.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 8)]
    [CStruct("struct evtchn_bind_vcpu", "xen/event_channel.h")]
    public struct BindVcpu
    {
        [FieldOffset(0), CField("port")] public uint Port;
        [FieldOffset(4), CField("vcpu")] public uint Vcpu;
    }

    /// <summary>Unmasks, and delivers what is pending.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct evtchn_unmask", "xen/event_channel.h")]
    public struct Unmask
    {
        [FieldOffset(0), CField("port")] public uint Port;
    }

    /// <summary>Closes every port of a domain.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 2)]
    [CStruct("struct evtchn_reset", "xen/event_channel.h")]
    public struct Reset
    {
        [FieldOffset(0), CField("dom")] public ushort Dom;
    }

    /// <summary>Switches a virtual CPU to FIFO events.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct evtchn_init_control", "xen/event_channel.h")]
    public struct InitControl
    {
        [FieldOffset(0), CField("control_gfn")] public ulong ControlGfn;
        /// <summary>Of the control block in that page.</summary>
        [FieldOffset(8), CField("offset")] public uint Offset;
        [FieldOffset(12), CField("vcpu")] public uint Vcpu;
        /// <summary>Out: 17.</summary>
        [FieldOffset(16), CField("link_bits")] public byte LinkBits;
        [FieldOffset(18), CField("_pad[1]")] public byte Pad;
    }

    /// <summary>Adds a page of event words.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 8)]
    [CStruct("struct evtchn_expand_array", "xen/event_channel.h")]
    public struct ExpandArray
    {
        [FieldOffset(0), CField("array_gfn")] public ulong ArrayGfn;
    }

    /// <summary>0 is the most urgent, 15 the least, 7 the default.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 8)]
    [CStruct("struct evtchn_set_priority", "xen/event_channel.h")]
    public struct SetPriority
    {
        [FieldOffset(0), CField("port")] public uint Port;
        [FieldOffset(4), CField("priority")] public uint Priority;
    }
}
