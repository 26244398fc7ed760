using System.Globalization;
using XenMemoryProvider.Store;
using XenVhostMaster.Domains;

namespace XenVhostMaster.Hosting;

/// <summary>Waits for domains to come and to go, by what xenstore tells.</summary>
internal sealed class DomainWatch(XenStore store)
{
    private const string Introduced = "@introduceDomain";
    private const string Released = "@releaseDomain";

    /// <summary>The domain of that name or id that runs now, if one does.</summary>
    public async Task<GuestIdentity?> FindAsync(string nameOrId, CancellationToken cancellation)
    {
        if (ushort.TryParse(nameOrId, NumberStyles.None, CultureInfo.InvariantCulture, out ushort wanted))
            return await IdentifyAsync(wanted, cancellation).ConfigureAwait(false);

        foreach (string text in await store.ListAsync("/local/domain", cancellation).ConfigureAwait(false))
        {
            if (ushort.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ushort domid) && domid != 0
                && await IdentifyAsync(domid, cancellation).ConfigureAwait(false) is { } identity && identity.Name == nameOrId)
                return identity;
        }

        return null;
    }

    /// <summary>Waits until there is a domain of that name or id.</summary>
    public async Task<GuestIdentity> WaitForAsync(string nameOrId, CancellationToken cancellation)
    {
        await using XenStoreWatch watch = await store.WatchAsync(Introduced, cancellation).ConfigureAwait(false);
        await foreach (string _ in watch.ReadAllAsync(cancellation).ConfigureAwait(false))
        {
            if (await FindAsync(nameOrId, cancellation).ConfigureAwait(false) is { } identity)
                return identity;
        }

        throw new IOException("the connection to xenstore is over");
    }

    /// <summary>Waits until a domain is gone. One that has shut down and was not destroyed yet still exists.</summary>
    public async Task WaitForEndAsync(ushort domid, CancellationToken cancellation)
    {
        await using XenStoreWatch watch = await store.WatchAsync(Released, cancellation).ConfigureAwait(false);
        await foreach (string _ in watch.ReadAllAsync(cancellation).ConfigureAwait(false))
        {
            if (!await store.IsDomainIntroducedAsync(domid, cancellation).ConfigureAwait(false))
                return;
        }
    }

    /// <summary>A domain counts from when xenstore talks to it: its memory is built by then.</summary>
    private async Task<GuestIdentity?> IdentifyAsync(ushort domid, CancellationToken cancellation)
        => await store.IsDomainIntroducedAsync(domid, cancellation).ConfigureAwait(false)
            ? await GuestIdentity.FindAsync(store, domid, cancellation).ConfigureAwait(false)
            : null;
}
