using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>ioctls and arguments of /dev/xen/evtchn (xen/evtchn.h). Every other request answers ENOSYS there.</summary>
[CHeader("xen/evtchn.h")]
public static class Evtchn
{
    [CConstant("IOCTL_EVTCHN_BIND_VIRQ")] public const uint IoctlBindVirq = 0x00044500;
    [CConstant("IOCTL_EVTCHN_BIND_INTERDOMAIN")] public const uint IoctlBindInterdomain = 0x00084501;
    [CConstant("IOCTL_EVTCHN_BIND_UNBOUND_PORT")] public const uint IoctlBindUnboundPort = 0x00044502;
    [CConstant("IOCTL_EVTCHN_UNBIND")] public const uint IoctlUnbind = 0x00044503;
    [CConstant("IOCTL_EVTCHN_NOTIFY")] public const uint IoctlNotify = 0x00044504;
    [CConstant("IOCTL_EVTCHN_RESET")] public const uint IoctlReset = 0x00004505;
    [CConstant("IOCTL_EVTCHN_RESTRICT_DOMID")] public const uint IoctlRestrictDomid = 0x00024506;

    /// <summary>Returns the local port.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct ioctl_evtchn_bind_virq", "xen/evtchn.h")]
    public struct BindVirq
    {
        [FieldOffset(0), CField("virq")] public Virq Virq;
    }

    /// <summary>Returns the local port, which is pending from the start.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 8)]
    [CStruct("struct ioctl_evtchn_bind_interdomain", "xen/evtchn.h")]
    public struct BindInterdomain
    {
        [FieldOffset(0), CField("remote_domain")] public uint RemoteDomain;
        [FieldOffset(4), CField("remote_port")] public uint RemotePort;
    }

    /// <summary>Returns a local port that the remote domain may bind.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct ioctl_evtchn_bind_unbound_port", "xen/evtchn.h")]
    public struct BindUnboundPort
    {
        [FieldOffset(0), CField("remote_domain")] public uint RemoteDomain;
    }

    /// <summary>Closes a port of this handle.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct ioctl_evtchn_unbind", "xen/evtchn.h")]
    public struct Unbind
    {
        [FieldOffset(0), CField("port")] public uint Port;
    }

    /// <summary>Signals the other end of a port of this handle.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 4)]
    [CStruct("struct ioctl_evtchn_notify", "xen/evtchn.h")]
    public struct Notify
    {
        [FieldOffset(0), CField("port")] public uint Port;
    }

    /// <summary>From now on, only this domain's ports.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 2)]
    [CStruct("struct ioctl_evtchn_restrict_domid", "xen/evtchn.h")]
    public struct RestrictDomid
    {
        [FieldOffset(0), CField("domid")] public ushort Domid;
    }
}
