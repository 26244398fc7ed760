using XenMemoryProvider.Store;

namespace XenVhostMaster.Domains;

/// <summary>A running domain.</summary>
internal readonly record struct GuestIdentity(ushort Domid, string Name, GuestKind Kind)
{
    /// <summary>For messages.</summary>
    public override string ToString() => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{Name} ({Domid})");

    /// <summary>Asks the toolstack's nodes what this domain is; null if it has no name (yet, or any more).</summary>
    public static async Task<GuestIdentity?> FindAsync(XenStore store, ushort domid, CancellationToken cancellation)
    {
        if (await store.TryReadAsync($"/local/domain/{domid}/name", cancellation).ConfigureAwait(false) is not { Length: > 0 } name)
            return null;

        // libxl says what it made; a guest whose toolstack says nothing has QEMU if QEMU left a trace.
        string? type = await store.TryReadAsync($"/libxl/{domid}/type", cancellation).ConfigureAwait(false);
        bool arm = System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture == System.Runtime.InteropServices.Architecture.Arm64;
        GuestKind kind = (type, arm) switch
        {
            ("hvm", _) => GuestKind.Hvm,
            ("pvh", true) => GuestKind.Arm,
            ("pvh", false) => GuestKind.Pvh,
            _ => await store.TryReadAsync($"/local/domain/0/device-model/{domid}/state", cancellation).ConfigureAwait(false) is null ? GuestKind.Pvh : GuestKind.Hvm,
        };
        return new GuestIdentity(domid, name, kind);
    }
}
