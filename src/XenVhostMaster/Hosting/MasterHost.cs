using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using VhostUser.Hosting;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Store;

namespace XenVhostMaster.Hosting;

/// <summary>The process: connects to Xen and xenstore, follows the guests, ends on SIGTERM.</summary>
internal static class MasterHost
{
    /// <returns>The exit code: 0 a clean end, 1 it cannot be done (one line on standard error says why).</returns>
    public static async Task<int> RunAsync(MasterOptions options)
    {
        using ILoggerFactory loggers = LoggerFactory.Create(logging => VhostUserHost.AddLogging(logging, options.LogLevel));
        ILogger logger = loggers.CreateLogger("master");
        using var stop = new CancellationTokenSource();
        using PosixSignalRegistration terminate = OnSignal(PosixSignal.SIGTERM, stop);
        using PosixSignalRegistration interrupt = OnSignal(PosixSignal.SIGINT, stop);
        try
        {
            IXenKernel kernel = XenKernels.Open(options.Xen) ?? throw new OptionsException($"--xen={options.Xen}: there is no Xen");
            await using XenStore store = XenStore.Open(kernel);
            List<GuestFollower> followers = [.. options.Guests.Select(guest => new GuestFollower(guest, kernel, store, logger))];
            StoreFollower? described = options.StoreSockets is { } folder ? new StoreFollower(kernel, store, folder, logger) : null;
            await using ControlServer? control = options.Control is { } path ? ControlServer.Start(path, followers, described, logger) : null;
            return await FollowAsync(options, followers, described, store, stop).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return 0;
        }
        catch (Exception e) when (e is IOException or OptionsException or ArgumentException or TimeoutException or InvalidOperationException)
        {
            await Console.Error.WriteLineAsync($"xen-vhost-master: {e.Message}").ConfigureAwait(false);
            return 1;
        }
    }

    private static async Task<int> FollowAsync(MasterOptions options, List<GuestFollower> followers, StoreFollower? described, XenStore store, CancellationTokenSource stop)
    {
        bool creates = options.Command.Count != 0;
        if (creates && await XlCreate.CreatePausedAsync(options.Command, stop.Token).ConfigureAwait(false) is not 0 and int code)
            throw new OptionsException($"{options.Command[0]} ended with {code}");

        List<Task> running = [.. followers.Select(follower => follower.RunAsync(once: creates, stop.Token))];
        if (described is not null)
            running.Add(described.RunAsync(stop.Token));

        Exception?[] settled = await Task.WhenAll(followers.Select(static follower => follower.Settled)).ConfigureAwait(false);
        Exception? failed = settled.FirstOrDefault(static cause => cause is not null and not OperationCanceledException);
        if (failed is null)
        {
            SystemdNotify.Send("READY=1");
            if (creates && await XlCreate.UnpauseAsync(options.Command, options.Guests[0].Domain, stop.Token).ConfigureAwait(false) is not 0)
                failed = new IOException("the guest cannot be unpaused");
        }

        // With one guest, failing to attach is the end. With several the others matter.
        if (failed is not null && running.Count == 1)
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(running).ConfigureAwait(false);
            throw failed;
        }

        Task all = Task.WhenAll(running);
        if (await Task.WhenAny(all, store.Completion).ConfigureAwait(false) != all)
        {
            // Nobody would tell of a guest's end any more.
            await stop.CancelAsync().ConfigureAwait(false);
            await all.ConfigureAwait(false);
            throw new IOException("the connection to xenstore is over");
        }

        await all.ConfigureAwait(false);
        return 0;
    }

    private static PosixSignalRegistration OnSignal(PosixSignal signal, CancellationTokenSource stop) => PosixSignalRegistration.Create(signal, context =>
    {
        context.Cancel = true;
        stop.Cancel();
    });
}
