using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

/// <summary>What a restricted handle may still do.</summary>
internal static class RestrictChecks
{
    public static void Run(Report report, LinuxXenKernel kernel, ushort guest)
    {
        report.Check("restrict-privcmd", () =>
        {
            using IPrivcmd privcmd = kernel.OpenPrivcmd();
            privcmd.Restrict(guest);
            privcmd.Restrict(guest);
            int other = Errno(() => privcmd.Restrict(0));
            int hypercall = privcmd.GetHvmParam(guest, HvmParam.StorePfn, out _);
            var call = new DmOp.Call { Op = DmOp.Command.NrVcpus };
            int own = privcmd.DmOp(guest, ref call);
            int foreign = privcmd.DmOp(0, ref call);
            var errors = new int[1];
            int map = Errno(() => privcmd.MapForeign(0, [1], PROT_READ, errors, TimeSpan.Zero).Dispose());
            privcmd.MapForeign(guest, [0x1000], PROT_READ, errors, TimeSpan.Zero).Dispose();
            return (other == EINVAL && hypercall == -EPERM && own == 0 && foreign == -EPERM && map == EPERM && errors[0] == 0,
                $"again {errno_name(other)}, hypercall {hypercall}, dm_op {own}, of another {foreign}, map another {errno_name(map)}");
        });
        report.Check("restrict-evtchn", () =>
        {
            using IEvtchn events = kernel.OpenEvtchn();
            events.Restrict(guest);
            int virq = Errno(() => events.BindVirq(Virq.Enomem));
            int other = Errno(() => events.BindInterdomain(0, 1));
            int again = Errno(() => events.Restrict(guest));
            return (virq == EACCES && other == EACCES && again == EACCES, $"{errno_name(virq)} {errno_name(other)} {errno_name(again)}");
        });
    }

    private static int Errno(Action action)
    {
        try
        {
            action();
            return 0;
        }
        catch (XenException e)
        {
            return e.Errno;
        }
    }
}
