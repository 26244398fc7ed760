using System.Globalization;
using System.Text.Json.Nodes;

namespace GuestKit;

/// <summary>
/// A Linux guest under QEMU's emulation that runs one job: a shell script made of the verbs in guest/init
/// (<c>step</c>, <c>refused</c>, <c>same</c>, <c>value</c>, <c>await</c>), and powers off.
/// </summary>
public sealed class QemuGuest
{
    private static readonly TimeSpan s_bootDeadline = TimeSpan.FromSeconds(240);

    private readonly ChildProcess _process;
    private readonly string _kernelLog;
    private readonly string _qmpSocket;
    private readonly Lock _lock = new();
    private TaskCompletionSource _news = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private QemuGuest(GuestRun run, string name, QemuOptions options, GuestImage image, string initramfs)
    {
        _kernelLog = run.PathOf($"{name}-kernel.log");
        _qmpSocket = run.PathOf($"{name}.qmp");
        var command = new CommandLine("qemu-system-x86_64", options.ToArguments(image, initramfs, _kernelLog, _qmpSocket));
        _process = ChildProcess.Start(run, name, command, OnLine);
        _ = _process.Exited.ContinueWith(_ => Announce(), TaskScheduler.Default);
    }

    public GuestReport Report { get; } = new();

    /// <summary>Completes when QEMU has ended.</summary>
    public Task<int> Exited => _process.Exited;

    /// <summary>Starts the machine; returns without waiting for its kernel.</summary>
    public static async Task<QemuGuest> StartAsync(GuestRun run, QemuOptions options, string job, string name = "guest")
    {
        GuestImage image = await GuestImage.GetAsync();
        string initramfs = await image.WriteInitramfsAsync(run.PathOf($"{name}-initrd.img"), job);
        return new QemuGuest(run, name, options, image, initramfs);
    }

    /// <summary>Starts a guest and sees its job through: every step succeeds and the kernel has nothing to complain about.</summary>
    public static async Task<GuestReport> RunJobAsync(GuestRun run, QemuOptions options, string job, TimeSpan deadline, string name = "guest")
    {
        QemuGuest guest = await StartAsync(run, options, job, name);
        await guest.WaitUntilUpAsync();
        return await guest.FinishAsync(deadline);
    }

    /// <summary>Waits for the end of the job and the machine, and checks both.</summary>
    /// <exception cref="GuestRunException">A step failed, the guest hung or died, or its kernel reported an error.</exception>
    public async Task<GuestReport> FinishAsync(TimeSpan deadline)
    {
        await WaitForAsync(report => report.Done, "the end of the job", deadline);
        foreach (GuestStep step in Report.Steps.Where(step => !step.Succeeded))
            throw new GuestRunException($"guest step '{step.Name}' failed with exit code {step.ExitCode}");
        if (!Report.Succeeded)
            throw new GuestRunException("the guest's job failed outside any step");
        int exitCode = await _process.Exited.WaitAsync(s_bootDeadline);
        if (exitCode != 0)
            throw new GuestRunException($"QEMU ended with exit code {exitCode}");
        if (KernelComplaints() is [var complaint, ..])
            throw new GuestRunException($"the guest's kernel complained: {complaint}");
        return Report;
    }

    public Task WaitUntilUpAsync() => WaitForAsync(report => report.UpAfterSeconds is not null, "the guest to come up", s_bootDeadline);

    /// <summary>Waits for the guest to arrive at <c>await NAME</c> in its job.</summary>
    public Task WaitUntilAwaitsAsync(string name, TimeSpan deadline) =>
        WaitForAsync(report => report.Awaits(name), $"'await {name}'", deadline);

    /// <summary>Lets a guest that stands at <c>await</c> go on.</summary>
    public void Answer(string line = "go") => _process.WriteLine(line);

    /// <summary>Waits until the guest has reported what <paramref name="condition"/> looks for.</summary>
    public async Task WaitForAsync(Func<GuestReport, bool> condition, string what, TimeSpan deadline)
    {
        using var timeout = new CancellationTokenSource(deadline);
        while (true)
        {
            Task news;
            lock (_lock)
                news = _news.Task;
            if (condition(Report))
                return;
            if (_process.Exited.IsCompleted)
                throw new GuestRunException($"QEMU ended (exit code {await _process.Exited}) while waiting for {what}{LastKernelWords()}");
            try
            {
                await news.WaitAsync(timeout.Token);
            }
            catch (OperationCanceledException)
            {
                throw new GuestRunException($"waited {deadline.TotalSeconds:F0} s in vain for {what}{LastKernelWords()}");
            }
        }
    }

    /// <summary>Lines of the guest kernel's log that tell of a broken disk or a broken kernel.</summary>
    public IReadOnlyList<string> KernelComplaints()
    {
        string[] bad = ["I/O error", "EXT4-fs error", "EXT4-fs warning", "Call Trace", "BUG:", "blocked for more than"];
        return [.. KernelLines().Where(line => bad.Any(words => line.Contains(words, StringComparison.Ordinal)))];
    }

    /// <summary>
    /// Moves the running guest to another QEMU that waits with <c>-incoming defer</c>; this one is ended.
    /// What the guest says from then on is in the other's report.
    /// </summary>
    /// <param name="postcopy">Let the guest go on at the destination before its memory is there.</param>
    public async Task MigrateAsync(QemuGuest destination, string path, TimeSpan deadline, bool postcopy = false)
    {
        JsonObject[] capabilities = [Capability("events"), .. postcopy ? [Capability("postcopy-ram")] : Array.Empty<JsonObject>()];
        using QmpClient other = await destination.ConnectQmpAsync();
        await other.ExecuteAsync("migrate-set-capabilities", Capabilities());
        await other.ExecuteAsync("migrate-incoming", new JsonObject { ["uri"] = $"unix:{path}" });
        using QmpClient qmp = await ConnectQmpAsync();
        await qmp.ExecuteAsync("migrate-set-capabilities", Capabilities());
        await qmp.ExecuteAsync("migrate-set-parameters", new JsonObject
        {
            // Slow before post-copy, so that most of the memory is still missing when the guest goes on.
            ["max-bandwidth"] = postcopy ? 16L << 20 : 1L << 30,
            ["downtime-limit"] = postcopy ? 1 : 1000,
        });
        await qmp.ExecuteAsync("migrate", new JsonObject { ["uri"] = $"unix:{path}" });
        if (postcopy)
        {
            await qmp.WaitForEventAsync("MIGRATION", deadline, e => (string?)e["data"]!["status"] == "active");
            await qmp.ExecuteAsync("migrate-start-postcopy");
            JsonObject moved = await qmp.WaitForEventAsync("MIGRATION", deadline, e => (string?)e["data"]!["status"] is "postcopy-active" or "failed" or "completed");
            if ((string?)moved["data"]!["status"] != "postcopy-active")
                throw new GuestRunException($"post-copy did not begin: {moved}");
            await qmp.ExecuteAsync("migrate-set-parameters", new JsonObject { ["max-bandwidth"] = 1L << 30 });
        }

        JsonObject last = await qmp.WaitForEventAsync("MIGRATION", deadline, e => (string?)e["data"]!["status"] is "completed" or "failed");
        if ((string?)last["data"]!["status"] != "completed")
            throw new GuestRunException($"migration failed: {await qmp.ExecuteAsync("query-migrate")}");
        await qmp.ExecuteAsync("quit");
        await _process.Exited.WaitAsync(deadline);

        static JsonObject Capability(string name) => new() { ["capability"] = name, ["state"] = true };

        JsonObject Capabilities() => new() { ["capabilities"] = new JsonArray([.. capabilities.Select(static capability => capability.DeepClone())]) };
    }

    /// <summary>Ends QEMU as a crash would.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.Exited;
    }

    /// <summary>Opens QEMU's control socket.</summary>
    public async Task<QmpClient> ConnectQmpAsync()
    {
        await UnixListener.WaitAsync([_qmpSocket], _process);
        return await QmpClient.ConnectAsync(_qmpSocket);
    }

    private IEnumerable<string> KernelLines()
    {
        if (!File.Exists(_kernelLog))
            return [];
        using var reader = new StreamReader(new FileStream(_kernelLog, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        return reader.ReadToEnd().Split('\n').Select(line => line.TrimEnd('\r'));
    }

    private string LastKernelWords()
    {
        string words = string.Join('\n', KernelLines().Where(line => line.Length > 0).TakeLast(15));
        return words.Length == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"; last words of its kernel:\n{words}");
    }

    private void OnLine(string line)
    {
        if (Report.Add(line))
            Announce();
    }

    private void Announce()
    {
        lock (_lock)
        {
            TaskCompletionSource news = _news;
            _news = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            news.SetResult();
        }
    }
}
