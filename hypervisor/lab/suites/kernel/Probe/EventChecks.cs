using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

/// <summary>evtchn.</summary>
internal static unsafe class EventChecks
{
    public static void Run(Report report, LinuxXenKernel kernel, ushort guest)
    {
        report.Check("event-round-trip", () =>
        {
            using IEvtchn one = kernel.OpenEvtchn();
            using IEvtchn other = kernel.OpenEvtchn();
            uint offered = one.BindUnbound(0), bound = other.BindInterdomain(0, offered);
            Span<uint> ports = stackalloc uint[8];
            bool spurious = Readable(other, 1000) && other.ReadPorts(ports) == 1 && ports[0] == bound;
            bool silent = other.Notify(bound) == 0 && Readable(one, 1000) && one.ReadPorts(ports) == 1 && ports[0] == offered;
            // Masked until written back: a second notification stays hidden until then.
            _ = other.Notify(bound);
            bool masked = !Readable(one, 50);
            bool again = one.Unmask(offered) == 0 && Readable(one, 1000) && one.ReadPorts(ports) == 1;
            return (spurious && silent && masked && again, $"spurious {spurious}, delivered {silent}, masked {masked}, again {again}");
        });
        report.Check("event-not-ours", () =>
        {
            using IEvtchn events = kernel.OpenEvtchn();
            int notify = events.Notify(1);
            try
            {
                events.Unbind(1);
                return (false, "unbound");
            }
            catch (XenException e)
            {
                return (notify == -ENOTCONN && e.Errno == ENOTCONN, $"notify {notify}, {e.Message}");
            }
        });
        report.Check("event-bad-remote", () =>
        {
            using IEvtchn events = kernel.OpenEvtchn();
            try
            {
                events.BindInterdomain(guest, 4000);
                return (false, "bound");
            }
            catch (XenException e)
            {
                return (e.Errno == EINVAL, e.Message);
            }
        });
        report.Check("event-virq", () =>
        {
            using IEvtchn events = kernel.OpenEvtchn();
            uint port = events.BindVirq(Virq.Enomem);
            events.Unbind(port);
            return (events.Notify(port) == -ENOTCONN, $"port {port}");
        });
    }

    private static bool Readable(IEvtchn events, int milliseconds)
    {
        var fd = new pollfd { fd = events.Descriptor.Value, events = POLLIN };
        return poll(&fd, 1, milliseconds) == 1 && (fd.revents & POLLIN) != 0;
    }
}
