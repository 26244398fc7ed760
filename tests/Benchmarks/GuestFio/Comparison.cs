using System.Globalization;
using GuestKit;

namespace GuestFio;

/// <summary>
/// Two daemons, one file, one guest with a disk from each. The guest stops before and after every fio run, so that the
/// processor time read at these points belongs to that run alone.
/// </summary>
internal static class Comparison
{
    private const long FileSize = 256 << 20;

    private static readonly TimeSpan s_deadline = TimeSpan.FromMinutes(3);

    public static Task RunAsync(FioOptions options, TextWriter output) => GuestRun.RunAsync("guestfio", async run =>
    {
        DiskImage image = DiskImage.Create(run, "disk.img", FileSize);
        image.Fill(0, FileSize, 0x5A); // no holes: both daemons read real pages from the page cache
        var theirs = new QemuStorageDaemon { Locking = false }; // or it would refuse to share the file
        BlockDaemon[] daemons = [options.Noise ? theirs : new VhostXenBlk { PollMicroseconds = options.PollMicroseconds }, theirs];
        DiskExport[] exports = [.. daemons.Select((_, i) => new DiskExport(run.PathOf($"disk{i}.sock"), image.Path) { Queues = options.Queues })];
        var processes = new DaemonProcess[daemons.Length];
        for (int i = 0; i < daemons.Length; i++)
            processes[i] = await daemons[i].StartAsync(run, exports[i]);

        IReadOnlyList<(Workload Workload, int Disk)> plan = Plan(options.Rounds, daemons.Length);
        var machine = new QemuOptions
        {
            Disks = [.. exports.Select(export => new VhostUserDisk(export.SocketPath) { Queues = options.Queues })],
        };
        QemuGuest guest = await QemuGuest.StartAsync(run, machine, Job(plan, options));
        await guest.WaitUntilUpAsync();
        output.WriteLine($"guest up after {guest.Report.UpAfterSeconds:F1} s; {plan.Count} runs of {options.Seconds} s");

        ILookup<(Workload, int), Sample> samples = await MeasureAsync(guest, plan, processes, output);
        await guest.FinishAsync(s_deadline);
        Table.Write(output, [.. daemons.Select(daemon => daemon.Name)], samples);
    });

    // Alternating order, so that a machine that gets slower or faster meanwhile favours nobody.
    private static List<(Workload Workload, int Disk)> Plan(int rounds, int disks) =>
    [
        .. from round in Enumerable.Range(0, rounds)
           from workload in Workload.All
           from turn in Enumerable.Range(0, disks)
           select (workload, (turn + round) % disks),
    ];

    private static string Job(IReadOnlyList<(Workload Workload, int Disk)> plan, FioOptions options)
    {
        const string Fio = """
            # measure NUMBER DISK PATTERN BLOCKSIZE DEPTH SECONDS: reports the number of requests and the milliseconds they took.
            measure() {
                await begin-$1
                /usr/sbin/fio --minimal --output=/tmp/fio --name=b --filename=/dev/$2 --rw=$3 --bs=$4 --iodepth=$5 \
                    --time_based --runtime=$6 --direct=1 --ioengine=libaio --norandommap --randrepeat=0 || return 1
                # Terse version 3: kilobytes and milliseconds are fields 6 and 9 for reads, 47 and 50 for writes.
                value run-$1 $(awk -F ';' -v bs=$4 '{ print ($6 + $47) * 1024 / bs, $9 + $50 }' /tmp/fio)
                await end-$1
            }

            """;
        IEnumerable<string> steps = plan.Select((run, number) =>
            $"step run-{number} measure {number} vd{(char)('a' + run.Disk)} {run.Workload.Pattern} {run.Workload.BlockSize} {run.Workload.Depth} {options.Seconds}\n");
        return Fio + string.Concat(steps);
    }

    private static async Task<ILookup<(Workload, int), Sample>> MeasureAsync(
        QemuGuest guest, IReadOnlyList<(Workload Workload, int Disk)> plan, DaemonProcess[] processes, TextWriter output)
    {
        var results = new List<((Workload, int) Key, Sample Sample)>();
        for (int i = 0; i < plan.Count; i++)
        {
            DaemonProcess process = processes[plan[i].Disk];
            await guest.WaitUntilAwaitsAsync($"begin-{i}", s_deadline);
            TimeSpan before = process.ProcessorTime;
            guest.Answer();
            await guest.WaitUntilAwaitsAsync($"end-{i}", s_deadline);
            TimeSpan used = process.ProcessorTime - before;
            guest.Answer();

            double[] report = [.. guest.Report.Value($"run-{i}").Split(' ').Select(text => double.Parse(text, CultureInfo.InvariantCulture))];
            if (report[0] < 1 || report[1] < 1)
                throw new GuestRunException($"run {i} made no requests");
            var sample = new Sample(report[0] / report[1] * 1000, used.TotalMicroseconds / report[0]);
            results.Add(((plan[i].Workload, plan[i].Disk), sample));
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{i + 1,3}/{plan.Count} {process.Name,-13} {plan[i].Workload,-24} {sample.RequestsPerSecond,8:F0}/s {sample.MicrosecondsPerRequest,7:F2} us"));
        }
        return results.ToLookup(result => result.Key, result => result.Sample);
    }
}
