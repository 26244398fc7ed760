using System.Globalization;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Store;

namespace XenMemoryProvider.Ioreq;

/// <summary>
/// Remembers in xenstore which ioreq server of a guest is ours, so that the next process can destroy what a dead one left:
/// Xen keeps a server for as long as the guest lives, and nothing tells ours from that of the guest's QEMU.
/// </summary>
/// <remarks>
/// A server is forgotten before it is destroyed and recorded after it is created, and an entry counts only for the guest
/// it was made for (domain ids come round again), so it never names another program's server. A process that dies in
/// between leaves a server that nobody claims: <see cref="Find"/> shows it.
/// </remarks>
public sealed class IoreqServerLedger(XenStore store, string root = "vhostxen/ioreq-server")
{
    /// <summary>The servers of a guest, whoever made them: asked for by each of the eight ids.</summary>
    /// <exception cref="XenException">ESRCH: no such domain; EPERM; EINVAL: neither HVM nor PVH.</exception>
    public static IReadOnlyList<ushort> Find(DeviceModel model)
    {
        var found = new List<ushort>();
        for (ushort id = 0; id < DmOp.MaxIoreqServers; id++)
        {
            int result = model.TryGetIoreqServerInfo(id, withFrames: false, out _);
            if (result == 0) found.Add(id);
            else if (-result is not ((int)XenErrno.ENOENT or (int)XenErrno.EPERM)) XenException.Check(result, "dm_op GetIoreqServerInfo", model.Domid);
        }
        return found;
    }

    /// <summary>After <see cref="IoreqServer.Create"/>.</summary>
    public async Task RecordAsync(IoreqServer server, CancellationToken cancellationToken = default)
    {
        ushort domid = server.Model.Domid;
        string guest = await GuestAsync(domid, cancellationToken).ConfigureAwait(false);
        await store.WriteAsync(PathOf(domid), string.Create(CultureInfo.InvariantCulture, $"{server.Id} {guest}"), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Before <see cref="IoreqServer.Dispose"/>, and when the guest is gone.</summary>
    public async Task ForgetAsync(ushort domid, CancellationToken cancellationToken = default)
    {
        try
        {
            await store.RemoveAsync(PathOf(domid), cancellationToken).ConfigureAwait(false);
        }
        catch (XenException e) when (e.Error == XenErrno.ENOENT)
        {
            // Never recorded.
        }
    }

    /// <summary>Destroys the server that a dead process of ours left with this guest, and no other.</summary>
    /// <returns>Its id; null if there was none.</returns>
    /// <exception cref="XenException">EPERM, and what xenstore refuses.</exception>
    public async Task<ushort?> DestroyLeftoverAsync(DeviceModel model, CancellationToken cancellationToken = default)
    {
        string? text = await store.TryReadAsync(PathOf(model.Domid), cancellationToken).ConfigureAwait(false);
        if (text is null) return null;

        await ForgetAsync(model.Domid, cancellationToken).ConfigureAwait(false);
        string[] entry = text.Split(' ', 2);
        if (entry.Length != 2 || entry[1] != await GuestAsync(model.Domid, cancellationToken).ConfigureAwait(false)) return null;
        if (!ushort.TryParse(entry[0], NumberStyles.None, CultureInfo.InvariantCulture, out ushort id) || id >= DmOp.MaxIoreqServers) return null;
        try
        {
            model.DestroyIoreqServer(id);
            return id;
        }
        catch (XenException e) when (e.Error is XenErrno.ENOENT)
        {
            return null; // Destroyed, though it was not forgotten.
        }
    }

    // The toolstack's path for the guest, with its UUID.
    private async Task<string> GuestAsync(ushort domid, CancellationToken cancellationToken) =>
        await store.TryReadAsync(string.Create(CultureInfo.InvariantCulture, $"/local/domain/{domid}/vm"), cancellationToken).ConfigureAwait(false) ?? "";

    private string PathOf(ushort domid) => string.Create(CultureInfo.InvariantCulture, $"{root}/{domid}");
}
