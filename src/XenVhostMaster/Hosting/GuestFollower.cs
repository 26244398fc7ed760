using System.Globalization;
using Microsoft.Extensions.Logging;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Store;
using XenVhostMaster.Domains;

namespace XenVhostMaster.Hosting;

/// <summary>One guest of the configuration: attached whenever a domain of its name runs, through reboots.</summary>
internal sealed class GuestFollower(GuestOptions options, IXenKernel kernel, XenStore store, ILogger logger)
{
    private readonly DomainWatch _watch = new(store);
    private readonly TaskCompletionSource<Exception?> _settled = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile GuestSession? _session;

    public GuestOptions Options { get; } = options;

    /// <summary>The guest while it is attached.</summary>
    public GuestSession? Session => _session;

    /// <summary>Done when the guest is attached for the first time, or there is none yet. With what went wrong, if something did.</summary>
    public Task<Exception?> Settled => _settled.Task;

    /// <summary>A domain id names one life; a name goes on.</summary>
    private bool IsOneLife => ushort.TryParse(Options.Domain, NumberStyles.None, CultureInfo.InvariantCulture, out _);

    /// <summary>Follows until cancelled; with <paramref name="once"/>, or for a domain id, to the end of the first domain.</summary>
    public async Task RunAsync(bool once, CancellationToken cancellation)
    {
        try
        {
            do
            {
                GuestIdentity identity = await FindAsync(cancellation).ConfigureAwait(false);
                await LiveAsync(identity, cancellation).ConfigureAwait(false);
                logger.GuestGone(identity.ToString());
            }
            while (!once && !IsOneLife);
        }
        catch (Exception e)
        {
            _settled.TrySetResult(e);
            if (!cancellation.IsCancellationRequested)
                throw;
        }
    }

    private async Task<GuestIdentity> FindAsync(CancellationToken cancellation)
    {
        if (await _watch.FindAsync(Options.Domain, cancellation).ConfigureAwait(false) is { } identity)
            return identity;

        logger.WaitingForDomain(Options.Domain);
        _settled.TrySetResult(null);
        return await _watch.WaitForAsync(Options.Domain, cancellation).ConfigureAwait(false);
    }

    private async Task LiveAsync(GuestIdentity identity, CancellationToken cancellation)
    {
        using var life = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Task end = _watch.WaitForEndAsync(identity.Domid, life.Token);
        Task<GuestSession> attaching = GuestSession.AttachAsync(kernel, store, identity, Options.Devices, logger, life.Token);
        try
        {
            // Back-ends may be a long time coming; the guest may be destroyed meanwhile.
            if (await Task.WhenAny(end, attaching).ConfigureAwait(false) == end)
                await life.CancelAsync().ConfigureAwait(false);

            _session = await attaching.ConfigureAwait(false);
            _settled.TrySetResult(null);
        }
        catch (Exception e) when (e is IOException or InvalidOperationException or TimeoutException)
        {
            logger.AttachFailed(identity.ToString(), e.Message);
            _settled.TrySetResult(e);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            // The domain was faster.
        }

        try
        {
            await end.ConfigureAwait(false);
        }
        finally
        {
            await life.CancelAsync().ConfigureAwait(false);
            GuestSession? session = Interlocked.Exchange(ref _session, null);
            if (session is not null)
                await session.DisposeAsync().ConfigureAwait(false);
        }
    }
}
