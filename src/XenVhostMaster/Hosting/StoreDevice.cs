using System.Globalization;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Store;
using XenVhostMaster.Domains;
using XenVhostMaster.Frontends;

namespace XenVhostMaster.Hosting;

/// <summary>
/// A virtio device as xl describes it in xenstore: a disk below backend/virtio_disk (4.17 and later), anything else below
/// backend/virtio (4.18 and later). xl chooses address and interrupt on Arm alone; on x86 both are 0, and the device becomes a
/// PCI function.
/// </summary>
/// <param name="Path">Of the back-end's nodes, relative to this domain's.</param>
/// <param name="Domid">The guest.</param>
internal sealed record StoreDevice(string Path, ushort Domid)
{
    public const string DiskRoot = "backend/virtio_disk";
    public const string Root = "backend/virtio";

    /// <summary>The device these nodes ask for.</summary>
    /// <param name="store">Where they are.</param>
    /// <param name="sockets">Folder of the sockets of devices that do not name theirs: DOMAIN-DEVID.sock in it.</param>
    /// <exception cref="OptionsException">They make no sense.</exception>
    public async Task<DeviceOptions> ReadAsync(XenStore store, string sockets, CancellationToken cancellation)
    {
        bool isDisk = Path.StartsWith(DiskRoot + "/", StringComparison.Ordinal);
        string transport = await TextAsync(store, "transport", cancellation).ConfigureAwait(false) ?? "mmio";
        if (transport != "mmio")
            throw new OptionsException($"{Path}: transport {transport} is not known");

        // In decimal for disks, in hexadecimal for the others.
        ulong start = Number(await TextAsync(store, "base", cancellation).ConfigureAwait(false) ?? "0", "base");
        uint irq = (uint)Number(await TextAsync(store, "irq", cancellation).ConfigureAwait(false) ?? "0", "irq");
        bool grants = await TextAsync(store, "grant_usage", cancellation).ConfigureAwait(false) == "1";
        DeviceKind kind = isDisk ? DeviceKind.FromId(2) : Kind(await TextAsync(store, "type", cancellation).ConfigureAwait(false));
        string socket = isDisk && await TextAsync(store, "params", cancellation).ConfigureAwait(false) is { Length: > 0 } path
            ? path
            : System.IO.Path.Combine(sockets, $"{await NameAsync(store, cancellation).ConfigureAwait(false)}-{Path[(Path.LastIndexOf('/') + 1)..]}.sock");
        bool onArm = start != 0;
        return new DeviceOptions
        {
            Backend = new BackendOptions { Kind = kind, Socket = socket, Grants = grants },
            Transport = onArm ? TransportKind.Mmio : TransportKind.Pci,
            MmioBase = onArm ? start : null,
            Irq = onArm ? irq : null,
        };
    }

    /// <summary>The state that the toolstack left; 0 where the nodes are gone.</summary>
    public async Task<int> GetStateAsync(XenStore store, CancellationToken cancellation)
        => int.TryParse(await TextAsync(store, "state", cancellation).ConfigureAwait(false), NumberStyles.None, CultureInfo.InvariantCulture, out int state) ? state : 0;

    /// <summary>Writes the state, unless the toolstack has taken the nodes away: writing would make them again.</summary>
    public Task SetStateAsync(XenStore store, int state, CancellationToken cancellation)
        => store.TransactionAsync(
            async (transaction, token) =>
            {
                if (await transaction.TryReadAsync($"{Path}/state", token).ConfigureAwait(false) is not null)
                    await transaction.WriteAsync($"{Path}/state", state.ToString(CultureInfo.InvariantCulture), token).ConfigureAwait(false);
            },
            cancellation);

    /// <summary>All devices that xl described.</summary>
    public static async Task<List<StoreDevice>> ListAsync(XenStore store, CancellationToken cancellation)
    {
        List<StoreDevice> devices = [];
        foreach (string root in (string[])[DiskRoot, Root])
        {
            foreach (string guest in await ChildrenAsync(store, root, cancellation).ConfigureAwait(false))
            {
                if (!ushort.TryParse(guest, NumberStyles.None, CultureInfo.InvariantCulture, out ushort domid))
                    continue;

                foreach (string device in await ChildrenAsync(store, $"{root}/{guest}", cancellation).ConfigureAwait(false))
                    devices.Add(new StoreDevice($"{root}/{guest}/{device}", domid));
            }
        }

        return devices;
    }

    private static async Task<IReadOnlyList<string>> ChildrenAsync(XenStore store, string path, CancellationToken cancellation)
    {
        try
        {
            return await store.ListAsync(path, cancellation).ConfigureAwait(false);
        }
        catch (XenException e) when (e.Error == XenMemoryProvider.Abi.XenErrno.ENOENT)
        {
            return [];
        }
    }

    private Task<string?> TextAsync(XenStore store, string name, CancellationToken cancellation) => store.TryReadAsync($"{Path}/{name}", cancellation);

    private async Task<string> NameAsync(XenStore store, CancellationToken cancellation)
        => await store.TryReadAsync($"/local/domain/{Domid}/name", cancellation).ConfigureAwait(false) ?? Domid.ToString(CultureInfo.InvariantCulture);

    /// <summary>"virtio,device22": the id is hexadecimal.</summary>
    private DeviceKind Kind(string? type)
        => type?.StartsWith("virtio,", StringComparison.Ordinal) == true && DeviceKind.TryParse(type[7..], out DeviceKind kind)
            ? kind
            : throw new OptionsException($"{Path}: type '{type}' is no virtio device");

    private ulong Number(string text, string name)
    {
        bool parsed = text.StartsWith("0x", StringComparison.Ordinal)
            ? ulong.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong value)
            : ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);
        return parsed ? value : throw new OptionsException($"{Path}: {name} '{text}' is no number");
    }
}
