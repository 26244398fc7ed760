using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using VhostUser.Memory;

namespace VhostUser.Hosting;

/// <summary>
/// Runs a daemon: devices on their sockets until SIGTERM or SIGINT, log lines on standard error, readiness to
/// systemd. A back-end's Main is one call of <see cref="RunAsync"/>.
/// </summary>
public static class VhostUserHost
{
    /// <summary>Time that requests in flight have to finish after SIGTERM.</summary>
    public static readonly TimeSpan ShutdownTime = TimeSpan.FromMilliseconds(800);

    /// <summary>Serves the devices until the process is told to end.</summary>
    /// <param name="devices">At least one; owned from here on.</param>
    /// <param name="memory">How guest memory is mapped.</param>
    /// <param name="logLevel">What to log.</param>
    /// <param name="cancellationToken">Ends it as SIGTERM does.</param>
    /// <returns>The exit code: 0 after a clean end, 1 when it could not start (one line on standard error says why).</returns>
    public static async Task<int> RunAsync(
        IReadOnlyList<HostedDevice> devices,
        IGuestMemoryProvider memory,
        LogLevel logLevel = LogLevel.Information,
        CancellationToken cancellationToken = default)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        AddLogging(builder.Logging, logLevel);
        builder.Services.Configure<HostOptions>(static options =>
        {
            options.ShutdownTimeout = ShutdownTime;
            options.ServicesStartConcurrently = false;
            options.ServicesStopConcurrently = true;
        });
        builder.Services.Configure<ConsoleLifetimeOptions>(static options => options.SuppressStatusMessages = true);
        builder.Services.AddSingleton<VhostUserMetrics>();
        foreach (HostedDevice device in devices)
        {
            builder.Services.AddSingleton<IHostedService>(services => new DeviceServer(
                device,
                memory,
                services.GetRequiredService<ILoggerFactory>(),
                services.GetRequiredService<IHostApplicationLifetime>(),
                services.GetRequiredService<VhostUserMetrics>()));
        }

        using IHost host = builder.Build();
        try
        {
            await host.StartAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is HostingException or IOException)
        {
            await Console.Error.WriteLineAsync($"{AppDomain.CurrentDomain.FriendlyName}: {e.Message}").ConfigureAwait(false);
            await host.StopAsync(CancellationToken.None).ConfigureAwait(false);
            return 1;
        }

        SystemdNotify.Send("READY=1");
        await host.WaitForShutdownAsync(cancellationToken).ConfigureAwait(false);
        return 0;
    }

    /// <summary>Log lines as the host writes them, for what a back-end has to say before and outside it.</summary>
    public static void AddLogging(ILoggingBuilder logging, LogLevel level)
    {
        logging.SetMinimumLevel(level);
        logging.AddFilter("Microsoft", LogLevel.Warning);

        // A start that fails is one line of ours, not a stack trace of the host's as well.
        logging.AddFilter("Microsoft.Extensions.Hosting", LogLevel.Critical);

        // All of it on standard error: standard output is for what was asked for (--print-capabilities).
        logging.AddConsole(static options =>
        {
            options.LogToStandardErrorThreshold = LogLevel.Trace;
            options.FormatterName = LogLineFormatter.FormatterName;
        });
        logging.Services.AddSingleton<ConsoleFormatter, LogLineFormatter>();
    }
}
