using XenMemoryProvider.Kernel;

// memory-probe DOMID NAME CONSOLE MEGABYTES: DOMID is a paused PVH guest that runs fill.c once it is unpaused, CONSOLE the
// file with what it says. With "dying" for CONSOLE: the guest runs, and is destroyed in the middle.
ushort guest = ushort.Parse(args[0]);
int pages = int.Parse(args[3]) * 256;
var kernel = new LinuxXenKernel();
var report = new Report();

if (args[2] == "dying")
{
    DyingChecks.Run(report, kernel, guest, args[1], pages);
}
else
{
    StoreChecks.Run(report, kernel, guest).GetAwaiter().GetResult();
    GrantChecks.Run(report, kernel);
    using (var boot = new IoreqBoot(kernel, guest))
    {
        boot.Run(report, args[1], args[2]);
        ForeignChecks.Run(report, kernel, guest, pages, args[2]);
        boot.Summarize(report);
    }
}
return report.Failures == 0 ? 0 : 1;
