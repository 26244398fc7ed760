using VhostXen.Linux;
using XenMemoryProvider.Abi;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Kernel.Linux;

/// <summary>/dev/xen/evtchn.</summary>
internal sealed unsafe class LinuxEvtchn : IEvtchn
{
    public FileDescriptor Descriptor { get; } = XenDevice.Open("xen-evtchn", O_RDWR | O_NONBLOCK, "/dev/xen/evtchn");

    public uint BindInterdomain(ushort domid, uint remotePort)
    {
        var bind = new Evtchn.BindInterdomain { RemoteDomain = domid, RemotePort = remotePort };
        return (uint)XenException.Check(XenDevice.Ioctl(Descriptor, Evtchn.IoctlBindInterdomain, &bind), $"EVTCHN_BIND_INTERDOMAIN port {remotePort}", domid);
    }

    public uint BindUnbound(ushort domid)
    {
        var bind = new Evtchn.BindUnboundPort { RemoteDomain = domid };
        return (uint)XenException.Check(XenDevice.Ioctl(Descriptor, Evtchn.IoctlBindUnboundPort, &bind), "EVTCHN_BIND_UNBOUND_PORT", domid);
    }

    public uint BindVirq(Virq virq)
    {
        var bind = new Evtchn.BindVirq { Virq = virq };
        return (uint)XenException.Check(XenDevice.Ioctl(Descriptor, Evtchn.IoctlBindVirq, &bind), $"EVTCHN_BIND_VIRQ {virq}");
    }

    public void Unbind(uint port)
    {
        var unbind = new Evtchn.Unbind { Port = port };
        XenException.Check(XenDevice.Ioctl(Descriptor, Evtchn.IoctlUnbind, &unbind), $"EVTCHN_UNBIND port {port}");
    }

    public int Notify(uint port)
    {
        var notify = new Evtchn.Notify { Port = port };
        return XenDevice.Ioctl(Descriptor, Evtchn.IoctlNotify, &notify);
    }

    public int ReadPorts(Span<uint> ports)
    {
        nint count;
        using (FileDescriptor.Borrowed fd = Descriptor.Borrow())
        {
            // SAFETY: pinned, and the driver writes at most what is asked for.
            fixed (uint* to = ports) count = FileIO.Read(fd.Value, to, (nuint)ports.Length * sizeof(uint));
        }

        if (count >= 0) return (int)(count / sizeof(uint));
        if (count == -EAGAIN) return 0;
        if (count == -EFBIG) _ = XenDevice.Ioctl(Descriptor, Evtchn.IoctlReset, null); // Empties the ring; masked ports stay masked.
        return (int)count;
    }

    public int Unmask(ReadOnlySpan<uint> ports)
    {
        using FileDescriptor.Borrowed fd = Descriptor.Borrow();
        fixed (uint* first = ports)
        {
            // The driver takes a page's worth at a time.
            for (int done = 0; done < ports.Length;)
            {
                nint count = FileIO.Write(fd.Value, first + done, (nuint)(ports.Length - done) * sizeof(uint));
                if (count < 0) return (int)count;
                if (count < sizeof(uint)) return -EIO;
                done += (int)(count / sizeof(uint));
            }
        }
        return 0;
    }

    public void Restrict(ushort domid)
    {
        var restrict = new Evtchn.RestrictDomid { Domid = domid };
        XenException.Check(XenDevice.Ioctl(Descriptor, Evtchn.IoctlRestrictDomid, &restrict), "EVTCHN_RESTRICT_DOMID", domid);
    }

    public void Dispose() => Descriptor.Dispose();
}
