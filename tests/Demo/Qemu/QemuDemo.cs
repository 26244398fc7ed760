using System.Globalization;
using GuestKit;

namespace Demo.Qemu;

/// <summary>The block daemon's main job: a Linux guest under QEMU gets its disk from vhostxen-blk, uses it hard, and the host checks.</summary>
internal static class QemuDemo
{
    private const long MiB = 1 << 20;
    private const int Queues = 2;

    private const string Job = """
        value kernel $(uname -r)
        value queues $(ls /sys/block/vda/mq | wc -l)
        table() { printf 'label: dos\nstart=2048, size=131072, type=83\nstart=133120, type=83\n' | sfdisk -q --wipe never /dev/vda; }
        step partition-table table
        step reread-table blockdev --rereadpt /dev/vda
        step mkfs.ext4 mkfs.ext4 -q -F /dev/vda1
        step mount mount -t ext4 /dev/vda1 /mnt
        numbers() { seq 1 20000 > /mnt/numbers; }
        step write-file numbers
        step fio-16-threads fio --name=w --directory=/mnt --numjobs=16 --thread --size=1m --rw=randwrite --bsrange=4k-64k --direct=1 --ioengine=psync --verify=crc32c --verify_fatal=1 --group_reporting
        step sync sync
        step fstrim fstrim /mnt
        step unmount umount /mnt
        step e2fsck-in-guest e2fsck -fn /dev/vda1
        step fio-randwrite-and-trim fio --name=t --filename=/dev/vda2 --size=8m --rw=randtrimwrite --bs=4k --ioengine=libaio --iodepth=16 --direct=1 --verify=crc32c --verify_fatal=1 --trim_percentage=30 --trim_verify_zero=1 --trim_backlog=32
        step write-zeroes blkdiscard -z -o 8388608 -l 4194304 /dev/vda2
        """;

    public static async Task<int> RunAsync()
    {
        var progress = new Progress();
        try
        {
            progress.Say("guest image (Debian's cloud kernel, busybox, fio, e2fsprogs; built once and cached)");
            await GuestImage.GetAsync();
            await GuestRun.RunAsync("demo", run => RunGuestAsync(run, progress));
        }
        catch (GuestRunException e)
        {
            Console.Error.WriteLine(e.Message);
            return 1;
        }

        progress.PrintSummary();
        return progress.AllGood ? 0 : 1;
    }

    private static async Task RunGuestAsync(GuestRun run, Progress progress)
    {
        DiskImage image = DiskImage.Create(run, "disk.img", 128 * MiB);
        image.Fill(96 * MiB, 32 * MiB, 0x5A);
        var export = new DiskExport(run.PathOf("disk.sock"), image.Path) { Queues = Queues };
        DaemonProcess daemon = await new VhostXenBlk().StartAsync(run, export);
        progress.Say($"vhostxen-blk (process {daemon.Id}) serves a disk of 128 MiB with {Queues} queues on {export.SocketPath}");

        QemuGuest guest = await QemuGuest.StartAsync(run, new QemuOptions { Disks = [new(export.SocketPath) { Queues = Queues }] }, Job);
        progress.Say("qemu-system-x86_64 starts a Linux guest, emulated (no KVM needed)");
        await guest.WaitUntilUpAsync();
        progress.Say(string.Create(CultureInfo.InvariantCulture, $"guest is up after {guest.Report.UpAfterSeconds:0.0} s of its own time"));
        int shown = 0;
        TimeSpan deadline = TimeSpan.FromMinutes(4);
        while (!guest.Report.Done)
        {
            await guest.WaitForAsync(report => report.Done || report.Steps.Count > shown, "the next step", deadline);
            foreach (GuestStep step in guest.Report.Steps.Skip(shown))
            {
                shown++;
                string result = step.Succeeded ? string.Create(CultureInfo.InvariantCulture, $"{step.Duration.TotalSeconds:0.0} s") : $"exit code {step.ExitCode}";
                progress.Say($"guest: {step.Name}: {(step.Succeeded ? "ok" : "FAILED")}, {result}");
                progress.Verified($"guest: {step.Name}", step.Succeeded, result);
            }
        }

        TimeSpan used = daemon.ProcessorTime;
        await guest.FinishAsync(deadline);
        progress.Verified($"guest kernel {guest.Report.Value("kernel")} sees {Queues} queues", guest.Report.Value("queues") == $"{Queues}", "");
        int exitCode = await daemon.StopAsync(TimeSpan.FromSeconds(5));
        progress.Say(string.Create(CultureInfo.InvariantCulture, $"vhostxen-blk ended on SIGTERM with {exitCode}; it used {used.TotalSeconds:0.00} s of processor time"));
        progress.Verified("vhostxen-blk ends cleanly on SIGTERM", exitCode == 0, $"exit code {exitCode}");
        await CheckOnTheHostAsync(image, progress);
    }

    private static async Task CheckOnTheHostAsync(DiskImage image, Progress progress)
    {
        progress.Say("the host checks the image with its own tools");
        await image.CheckExt4Async(MiB);
        progress.Verified("host: e2fsck of the file system", true, "clean");
        byte[] expected = System.Text.Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(1, 20000).Select(static n => $"{n}\n")));
        byte[] found = await image.ReadExt4FileAsync("numbers", MiB);
        progress.Verified("host: the file that the guest wrote", expected.AsSpan().SequenceEqual(found), $"{found.Length} bytes compared");
        progress.Verified("host: the zeroed range reads as zeroes", image.IsFilled(73 * MiB, 4 * MiB, 0), "4 MiB");
        progress.Verified("host: what the guest did not touch", image.IsFilled(96 * MiB, 32 * MiB, 0x5A), "32 MiB unchanged");
    }
}
