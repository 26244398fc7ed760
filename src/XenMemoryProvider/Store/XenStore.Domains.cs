using System.Globalization;
using System.Text;
using XenMemoryProvider.Abi;

namespace XenMemoryProvider.Store;

public sealed partial class XenStore
{
    /// <summary>Where a domain's nodes are, whether it exists or not: /local/domain/3.</summary>
    public Task<string> GetDomainPathAsync(ushort domid, CancellationToken cancellationToken = default) =>
        TextAsync(Xenstore.MessageType.GetDomainPath, cancellationToken, Text(domid));

    /// <summary>Does xenstore talk to this domain?</summary>
    public async Task<bool> IsDomainIntroducedAsync(ushort domid, CancellationToken cancellationToken = default) =>
        await TextAsync(Xenstore.MessageType.IsDomainIntroduced, cancellationToken, Text(domid)).ConfigureAwait(false) switch
        {
            "T" => true,
            "F" => false,
            _ => throw Connection.Nonsense("xenstore answered IsDomainIntroduced with neither T nor F"),
        };

    /// <summary>Tells xenstore where a new domain's ring is (toolstacks).</summary>
    public Task IntroduceAsync(ushort domid, ulong gfn, uint port, CancellationToken cancellationToken = default) =>
        OkAsync(Xenstore.MessageType.Introduce, cancellationToken, Text(domid), gfn.ToString(CultureInfo.InvariantCulture), Text(port));

    /// <summary>Tells xenstore that a domain is gone (toolstacks).</summary>
    public Task ReleaseAsync(ushort domid, CancellationToken cancellationToken = default) =>
        OkAsync(Xenstore.MessageType.Release, cancellationToken, Text(domid));

    /// <summary>Tells xenstore that a domain goes on after a suspension (toolstacks).</summary>
    public Task ResumeAsync(ushort domid, CancellationToken cancellationToken = default) =>
        OkAsync(Xenstore.MessageType.Resume, cancellationToken, Text(domid));

    /// <summary>Gives a device-model domain the rights of its guest (toolstacks).</summary>
    public Task SetTargetAsync(ushort domid, ushort target, CancellationToken cancellationToken = default) =>
        OkAsync(Xenstore.MessageType.SetTarget, cancellationToken, Text(domid), Text(target));

    /// <summary>Drops all watches and transactions of this connection's domain (guests). Ours end as if disposed.</summary>
    public Task ResetWatchesAsync(CancellationToken cancellationToken = default) => OkAsync(Xenstore.MessageType.ResetWatches, cancellationToken, "");

    /// <summary>Asks the daemon something about itself: "print", "check", "help"...</summary>
    public Task<string> ControlAsync(string command, params ReadOnlySpan<string> arguments) =>
        TextAsync(Xenstore.MessageType.Control, default, [command, .. arguments]);

    private Task OkAsync(Xenstore.MessageType type, CancellationToken cancellationToken, params ReadOnlySpan<string> strings) =>
        OkAsync(type, strings[0], StoreMessage.Build(type, 0, [], strings), cancellationToken);

    // One string: some daemons end it with a NUL, some do not.
    private async Task<string> TextAsync(Xenstore.MessageType type, CancellationToken cancellationToken, string[] strings)
    {
        byte[] reply = await Connection.RequestAsync(type, strings[0], StoreMessage.Build(type, 0, [], strings), cancellationToken).ConfigureAwait(false);
        int end = Array.IndexOf(reply, (byte)0);
        return Encoding.UTF8.GetString(reply, 0, end < 0 ? reply.Length : end);
    }

    private Task<string> TextAsync(Xenstore.MessageType type, CancellationToken cancellationToken, string argument) =>
        TextAsync(type, cancellationToken, [argument]);

    private static string Text(uint number) => number.ToString(CultureInfo.InvariantCulture);
}
