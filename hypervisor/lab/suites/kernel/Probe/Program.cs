using XenMemoryProvider.Kernel;

// LinuxXenKernel against a real Xen: kernel-probe DOMID, where DOMID is a paused PVH guest.
ushort guest = ushort.Parse(args[0]);
var kernel = new LinuxXenKernel();
var report = new Report();

using (IPrivcmd privcmd = kernel.OpenPrivcmd())
{
    HypercallChecks.Run(report, privcmd, guest);
    ForeignChecks.Run(report, privcmd, guest);
    IoreqChecks.Run(report, kernel, privcmd, guest);
}
GrantChecks.Run(report, kernel);
EventChecks.Run(report, kernel, guest);
RestrictChecks.Run(report, kernel, guest);
StoreChecks.Run(report, kernel);
return report.Failures == 0 ? 0 : 1;
