using System.Globalization;
using System.Text.Json.Nodes;
using GuestKit;
using XenMemoryProvider.Store;

namespace Demo.Embedded;

/// <summary>
/// The whole picture on any machine: a user-space Xen, xen-vhost-master and vhostxen-blk as processes of their own, and guests
/// that probe PCI or virtio-mmio, run a virtio driver and verify every byte.
/// </summary>
internal sealed class EmbeddedDemo(GuestRun run, DemoSize size, Progress progress)
{
    private const int GuestMemoryMiB = 16;
    private const string MmioBase = "0x2000000";
    private const uint MmioIrq = 33;
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    private readonly Totals _totals = new();

    /// <returns>The exit code: 0 when everything was verified.</returns>
    public static async Task<int> RunAsync(DemoSize size)
    {
        var progress = new Progress();
        try
        {
            await GuestRun.RunAsync("demo", async run =>
            {
                var demo = new EmbeddedDemo(run, size, progress);
                await demo.OnX86Async();
                await demo.OnArmAsync();
                demo._totals.Report(progress);
                progress.PrintSummary();
                if (!progress.AllGood)
                    throw new GuestRunException("the demo failed: see the table above");
            });
        }
        catch (GuestRunException e)
        {
            Console.Error.WriteLine(e.Message);
            return 1;
        }

        return 0;
    }

    /// <summary>Two PVH guests on PCI: one whose memory the daemon maps whole, one that grants page by page.</summary>
    private async Task OnX86Async()
    {
        XenProcess xen = await XenProcess.StartAsync(run, "x86");
        int objects = xen.Process.OpenObjects.Count;
        ushort first = xen.Create("vm1", GuestMemoryMiB);
        ushort second = xen.Create("vm2", GuestMemoryMiB);
        progress.Say($"xenmodel (process {xen.Process.Id}): a user-space Xen with two PVH guests of {GuestMemoryMiB} MiB and {DemoSize.Queues} virtual CPUs, paused");
        Disk disk1 = await Disk.StartAsync(run, xen, "vm1", size.ForeignDisk);
        Disk disk2 = await Disk.StartAsync(run, xen, "vm2", size.OtherDisks);
        progress.Say($"vhostxen-blk (processes {disk1.Daemon.Id}, {disk2.Daemon.Id}): disks of {disk1.Size >> 20} and {disk2.Size >> 20} MiB");
        MasterProcess master = await MasterProcess.StartAsync(run, xen, "x86", $"--config={WriteConfiguration(disk1, disk2)}");
        await master.WaitForAsync(first);
        await master.WaitForAsync(second);
        progress.Say($"xen-vhost-master (process {master.Process.Id}): the guests' device model, one ioreq server each");
        int masterObjects = master.Process.OpenObjects.Count;

        GuestReport report = await RunGuestAsync(xen, disk1, "guest vm1", size.ForeignRequests, "resets=2", async () =>
        {
            int killed = disk1.Daemon.Id;
            await disk1.KillAndRestartAsync();
            progress.Say($"vhostxen-blk {killed} killed with SIGKILL in the middle of I/O; process {disk1.Daemon.Id} takes its place");
        });
        Verify("PCI, guest memory mapped whole, 2 queues", report, await master.WaitForAsync(first));
        long reconnections = MasterProcess.Number(await master.WaitForAsync(first), "reconnections");
        progress.Verified("back-end killed mid-I/O, replaced, nothing lost", report.Passed && reconnections > 0, $"{reconnections} reconnection");
        progress.Verified("device reset by the guest with requests in flight", report.Passed && report.Number("resets") == 2, $"{report["resets"]} times, requests asked for again");

        report = await RunGuestAsync(xen, disk2, "guest vm2", size.GrantRequests, "grants=yes");
        Verify("PCI, granted pages only, mapped per request", report, await master.WaitForAsync(second));

        xen.Say("shutdown vm1 reboot");
        xen.Say("destroy vm1");
        ushort again = xen.Create("vm1", GuestMemoryMiB);
        await master.WaitForAsync(again);
        progress.Say($"guest vm1 rebooted: domain {first} is gone, domain {again} has its disk");
        report = await RunGuestAsync(xen, disk1, "guest vm1", size.RebootRequests, "");
        Verify("reboot: the disk read whole first, then more I/O", report, await master.WaitForAsync(again));
        int left = await master.Process.SettledObjectsAsync(masterObjects);
        progress.Verified("master's descriptors after restart, resets and reboot", left <= masterObjects, $"{left} sockets, events and memories, at first {masterObjects}");

        await StopAsync("xen-vhost-master", master.Process);
        progress.Verified("ioreq servers left in Xen", xen.IoreqServers == 0, $"{xen.IoreqServers}");
        await StopAsync("vhostxen-blk", disk1.Daemon);
        await StopAsync("vhostxen-blk", disk2.Daemon);
        xen.Say("destroy vm1");
        xen.Say("destroy vm2");
        int after = await xen.Process.SettledObjectsAsync(objects);
        progress.Verified("Xen's descriptors when all have gone", after <= objects, $"{after} sockets, events and memories, at first {objects}");
        await StopAsync("xenmodel", xen.Process);
        CompareImage(disk1);
        CompareImage(disk2);
    }

    /// <summary>A guest as on Arm: the toolstack describes its disk in xenstore, and it is a virtio-mmio device.</summary>
    private async Task OnArmAsync()
    {
        XenProcess xen = await XenProcess.StartAsync(run, "arm");
        ushort domid = xen.Create("vm3", GuestMemoryMiB);
        Disk disk = await Disk.StartAsync(run, xen, "vm3", size.OtherDisks);
        await using (XenStore store = xen.OpenStore())
            await DescribeDiskAsync(store, domid, disk.Socket);

        MasterProcess master = await MasterProcess.StartAsync(run, xen, "arm", $"--from-xenstore={run.Directory}");
        await master.WaitForAsync(domid);
        progress.Say($"a Xen as on Arm (process {xen.Process.Id}): guest vm3 has a virtio-mmio disk at {MmioBase}, interrupt {MmioIrq}, as xl describes it in xenstore");
        GuestReport report = await RunGuestAsync(xen, disk, "guest vm3", size.ArmRequests, $"base={MmioBase},irq={MmioIrq},resets=1");
        Verify("virtio-mmio, wired interrupt (Arm)", report, await master.WaitForAsync(domid));
        await StopAsync("xen-vhost-master", master.Process);
        progress.Verified("ioreq servers left in Xen (Arm)", xen.IoreqServers == 0, $"{xen.IoreqServers}");
        await StopAsync("vhostxen-blk", disk.Daemon);
        await StopAsync("xenmodel", xen.Process);
        CompareImage(disk);
    }

    /// <summary>Starts a guest's program, shows what it does, and lets something happen when it is a third through.</summary>
    private async Task<GuestReport> RunGuestAsync(XenProcess xen, Disk disk, string title, int requests, string options, Func<Task>? inBetween = null)
    {
        xen.Say($"run {disk.Name} seed={disk.Seed},queues={DemoSize.Queues},requests={requests},skip={disk.Requests},{options}");
        xen.Say($"unpause {disk.Name}");
        long end = Environment.TickCount64 + (long)Deadline.TotalMilliseconds;
        GuestReport report;
        do
        {
            report = await xen.ReportAsync(disk.Name, inBetween is null ? 500 : 20);
            progress.Live(string.Create(CultureInfo.InvariantCulture, $"{title}: {report.Requests} requests, {report.Number("bytes-written") >> 20} MiB written, {report.Number("bytes-verified") >> 20} MiB verified"));
            if (inBetween is not null && report.Requests > requests * DemoSize.Queues / 3)
            {
                Func<Task> now = inBetween;
                inBetween = null;
                await now();
            }
        }
        while (!report.HasEnded && Environment.TickCount64 < end);
        disk.Requests += requests;
        progress.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{title}: {report["device"]}, {report.State} after {report.Seconds:0.0} s: {report.Requests} requests, up to {report["most-in-flight"]} in flight per queue {report.Failure}"));
        return report;
    }

    private void Verify(string what, GuestReport report, string master)
    {
        _totals.Add(report, master);
        bool features = report["indirect"] == "yes" && report["event-idx"] == "yes";
        progress.Verified(what, report.Passed && features, string.Create(
            CultureInfo.InvariantCulture,
            $"{report.Requests} requests, {report.Number("bytes-verified") >> 20} MiB verified, {report.Requests / Math.Max(0.001, report.Seconds):0} req/s {report.Failure}"));
    }

    private void CompareImage(Disk disk)
    {
        (bool good, string result) = disk.Compare();
        progress.Verified($"host: image of {disk.Name}, byte by byte", good, result);
    }

    private async Task StopAsync(string name, DaemonProcess process)
    {
        int exitCode = await process.StopAsync(TimeSpan.FromSeconds(10));
        progress.Say($"{name} ({process.Id}) ended on SIGTERM with {exitCode}");
        progress.Verified($"{name} ends cleanly on SIGTERM", exitCode == 0, $"exit code {exitCode}");
    }

    private string WriteConfiguration(Disk foreign, Disk grants)
    {
        string path = run.PathOf("master.json");
        File.WriteAllText(path, new JsonObject
        {
            ["Guests"] = new JsonArray(Guest(foreign, ""), Guest(grants, ",grants=on")),
        }.ToString());
        return path;

        static JsonObject Guest(Disk disk, string more) => new() { ["Domain"] = disk.Name, ["Devices"] = new JsonArray($"block,socket={disk.Socket}{more}") };
    }

    /// <summary>The nodes of a disk as xl writes them on Arm: base and irq in decimal.</summary>
    private static Task DescribeDiskAsync(XenStore store, ushort domid, string socket) => store.TransactionAsync(async (nodes, token) =>
    {
        string path = $"/local/domain/0/backend/virtio_disk/{domid}/51712";
        foreach ((string name, string value) in new[]
        {
            ("frontend", $"/local/domain/{domid}/device/virtio_disk/51712"), ("params", socket), ("frontend-id", $"{domid}"), ("online", "1"), ("removable", "0"),
            ("bootable", "1"), ("state", "1"), ("dev", "xvda"), ("type", "standalone"), ("mode", "w"), ("device-type", "disk"), ("discard-enable", "1"),
            ("specification", "virtio"), ("transport", "mmio"), ("base", $"{Convert.ToUInt64(MmioBase, 16)}"), ("irq", $"{MmioIrq}"),
        })
            await nodes.WriteAsync($"{path}/{name}", value, token);
    });
}
