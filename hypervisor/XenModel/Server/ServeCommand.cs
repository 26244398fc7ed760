using System.CommandLine;
using Microsoft.Extensions.Logging;
using VhostXen.Linux;
using XenModel.Domains;
using XenModel.Store;

namespace XenModel.Server;

/// <summary>xenmodel serve: runs until SIGTERM or SIGINT.</summary>
internal static class ServeCommand
{
    public static Command Create()
    {
        var socket = new Option<string>("--socket") { Description = "Unix socket to serve the hypervisor at", Required = true, HelpName = "PATH" };
        var xenstore = new Option<string?>("--xenstore-socket") { Description = "Unix socket to serve xenstore at, as xenstored does", HelpName = "PATH" };
        var domains = new Option<string[]>("--domain")
        {
            Description = "a domain to create: name=N[,memory=MiB][,vcpus=N][,type=pvh|hvm|pv][,paused=yes|no]; may be repeated",
            HelpName = "OPTIONS",
        };
        var dom0 = new Option<string>("--dom0") { Description = "the type of domain 0", DefaultValueFactory = _ => "pv", HelpName = "pv|pvh" };
        dom0.AcceptOnlyFromAmong("pv", "pvh");
        var architecture = new Option<string>("--arch") { Description = "whose device-model operations", DefaultValueFactory = _ => "x86", HelpName = "x86|arm" };
        architecture.AcceptOnlyFromAmong("x86", "arm");
        var verbose = new Option<bool>("--verbose") { Description = "also log connections" };
        var command = new Command("serve", "Serve a hypervisor to other processes") { socket, xenstore, domains, dom0, architecture, verbose };
        command.SetAction((parsed, cancel) => RunAsync(
            new HypervisorOptions
            {
                Dom0Type = parsed.GetValue(dom0) == "pvh" ? DomainType.PVH : DomainType.PV,
                Architecture = parsed.GetValue(architecture) == "arm" ? Architecture.Arm : Architecture.X86,
            },
            parsed.GetRequiredValue(socket),
            parsed.GetValue(xenstore),
            parsed.GetValue(domains) ?? [],
            parsed.GetValue(verbose),
            cancel));
        return command;
    }

    private static async Task<int> RunAsync(HypervisorOptions options, string socket, string? xenstore, string[] domains, bool verbose, CancellationToken stop)
    {
        using ILoggerFactory factory = LoggerFactory.Create(logging => logging
            .SetMinimumLevel(verbose ? LogLevel.Debug : LogLevel.Information)
            .AddSimpleConsole(console =>
            {
                console.SingleLine = true;
                console.TimestampFormat = "HH:mm:ss.fff ";
                console.IncludeScopes = false;
            }));
        ILogger logger = factory.CreateLogger("xenmodel");
        try
        {
            RemoveStale(socket);
            if (xenstore is not null) RemoveStale(xenstore);
            using var hypervisor = new Hypervisor(options);
            await using var store = new XenStoreDaemon(hypervisor);
            await using XenstoreListener? listener = xenstore is null ? null : new XenstoreListener(store, xenstore);
            hypervisor.Watch(domain => Log(logger, domain));
            foreach (string domain in domains) hypervisor.CreateDomain(DomainText.Parse(domain));
            using var server = new ModelServer(hypervisor, socket, store, logger);
            await Task.Delay(Timeout.Infinite, stop).ContinueWith(static _ => { }, TaskScheduler.Default).ConfigureAwait(false);
            logger.Stopped();
            return 0;
        }
        catch (Exception refused) when (refused is FormatException or InvalidOperationException or SystemCallException or System.Net.Sockets.SocketException)
        {
            await Console.Error.WriteLineAsync($"xenmodel: {refused.Message}").ConfigureAwait(false);
            return 1;
        }
    }

    // What a server that was killed has left behind, and nobody listens at.
    private static void RemoveStale(string path)
    {
        if (!File.Exists(path)) return;
        try
        {
            FdSocket.Connect(path).Dispose();
        }
        catch (SystemCallException gone) when (gone.Error == LibC.ECONNREFUSED)
        {
            File.Delete(path);
        }
    }

    private static void Log(ILogger logger, Domain domain)
    {
        if (domain.IsDying) logger.Changed(domain.Id, domain.Name, "destroyed");
        else if (domain.Shutdown is { } reason) logger.Changed(domain.Id, domain.Name, domain.CrashReason is { } why ? $"crashed: {why}" : $"stopped ({reason})");
        else logger.Created(domain.Id, domain.Name, domain.Type.ToString(), domain.Options.MemoryMiB, domain.Vcpus.Count);
    }
}
