using System.Globalization;
using System.Text;
using GuestKit;
using Xunit;

namespace EndToEnd.Block;

/// <summary>
/// The daemon dies by SIGKILL in the middle of its work, again and again, and a supervisor starts it anew: the guest sees
/// nothing but a pause, every acknowledged write is there, and none is done a second time over a newer one.
/// </summary>
[Trait("Category", "Qemu")]
public sealed class CrashTests
{
    private const long MiB = 1 << 20;
    private const int BlockSize = 4096;
    private const int Blocks = 16;

    private static readonly TimeSpan s_deadline = TimeSpan.FromMinutes(6);

    /// <summary>Deaths per run; VHOSTXEN_CRASHES=50 for the long one.</summary>
    private static int Crashes { get; } =
        int.TryParse(Environment.GetEnvironmentVariable("VHOSTXEN_CRASHES"), CultureInfo.InvariantCulture, out int n) ? n : 8;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public Task Daemon_KilledAgainAndAgainUnderLoad_LosesNothing(bool packed) => GuestRun.RunAsync("crash", async run =>
    {
        const string Fio = "--name=c --size=16m --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=16 "
            + "--verify=crc32c --verify_fatal=1 --verify_backlog=128";
        DiskImage image = DiskImage.Create(run, "disk.img", 64 * MiB);
        // Past the page cache requests take long enough to be caught under way, and they end in any order. A daemon that
        // keeps no in-flight region (qemu-storage-daemon was tried) breaks the guest here after a dozen deaths.
        var export = new DiskExport(run.PathOf("disk.sock"), image.Path) { Queues = 2, Direct = true };
        var daemon = new VhostXenBlk();
        DaemonProcess process = await daemon.StartAsync(run, export);
        var machine = new QemuOptions { Disks = [new(export.SocketPath) { Queues = 2, Packed = packed, Reconnect = true }] };

        // Counts upwards, each number written to the next of 16 blocks behind fio's, and reported once acknowledged.
        QemuGuest guest = await QemuGuest.StartAsync(run, machine, $$"""
            churn() { until [ -e /tmp/stop ]; do fio {{Fio}} --filename=/dev/vda || return 1; done; }
            churn & churn=$!
            count() {
                i=0
                until [ -e /tmp/stop ]; do
                    printf 'count %8d' $i | dd of=/dev/vda bs=4096 seek=$((8192 + i % 16)) conv=sync,notrunc oflag=direct status=none || return 1
                    value count $i
                    i=$((i + 1))
                done
            }
            count & count=$!
            await stop
            touch /tmp/stop
            step count wait $count
            step churn wait $churn
            """);
        int counted = 0;
        for (int crash = 0; crash < Crashes; crash++)
        {
            int target = counted + (2 * Blocks);
            await guest.WaitForAsync(report => Count(report) >= target, $"count {target} after {crash} crashes", s_deadline);
            await process.KillAsync();
            int acknowledged = Count(guest.Report);
            CheckCounts(image, acknowledged);
            process = await daemon.StartAsync(run, export);
            counted = acknowledged;
        }
        await guest.WaitForAsync(report => Count(report) >= counted + Blocks, "the count to go on", s_deadline);
        guest.Answer();
        GuestReport report = await guest.FinishAsync(s_deadline);

        CheckCounts(image, Count(report));
        await image.VerifyWithFioAsync(Fio);
        Assert.Equal(0, await process.StopAsync(TimeSpan.FromSeconds(20)));
    });

    private static int Count(GuestReport report) =>
        report.TryValue("count") is { } text ? int.Parse(text, CultureInfo.InvariantCulture) : -1;

    // With the daemon dead: the last acknowledged number of every block, or the one that was on its way, never an older one.
    private static void CheckCounts(DiskImage image, int acknowledged)
    {
        for (int number = Math.Max(0, acknowledged - Blocks + 1); number <= acknowledged; number++)
        {
            string text = Encoding.ASCII.GetString(image.Read((32 * MiB) + (number % Blocks * BlockSize), BlockSize)).TrimEnd('\0');
            int found = int.Parse(text.AsSpan("count ".Length), NumberStyles.AllowLeadingWhite, CultureInfo.InvariantCulture);
            Assert.True(found == number || found == number + Blocks, $"block {number % Blocks} holds {found}, and {acknowledged} was acknowledged");
        }
    }
}
