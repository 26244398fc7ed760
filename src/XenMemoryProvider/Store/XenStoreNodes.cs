using System.Text;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace XenMemoryProvider.Store;

/// <summary>
/// Nodes: values, children, permissions. Outside transactions (<see cref="XenStore"/>) and within one
/// (<see cref="XenStoreTransaction"/>) they are worked on alike. Paths that do not start with / are below this domain's own.
/// Any thread may call; requests that do not wait for each other are under way together.
/// </summary>
/// <remarks>
/// Every operation throws <see cref="XenException"/> with what xenstore answered (ENOENT, EACCES, EINVAL for a bad path,
/// E2BIG, ENOSPC over a quota), <see cref="XenStoreConnectionException"/> once the connection is over,
/// <see cref="TimeoutException"/>, and ArgumentException for what fits no message.
/// </remarks>
public abstract class XenStoreNodes
{
    private const int MaxListBytes = 16 << 20;
    private const int MaxListRestarts = 100;
    private static readonly byte[] Ok = "OK\0"u8.ToArray();

    private protected XenStoreNodes(StoreConnection connection) => Connection = connection;

    private protected StoreConnection Connection { get; }

    private protected virtual uint TransactionId => 0;

    /// <summary>The value of a node as text.</summary>
    public async Task<string> ReadAsync(string path, CancellationToken cancellationToken = default) =>
        Encoding.UTF8.GetString(await ReadBytesAsync(path, cancellationToken).ConfigureAwait(false));

    /// <summary>The value of a node as text; null if there is no such node.</summary>
    public async Task<string?> TryReadAsync(string path, CancellationToken cancellationToken = default)
    {
        try
        {
            return await ReadAsync(path, cancellationToken).ConfigureAwait(false);
        }
        catch (XenException e) when (e.Error == XenErrno.ENOENT)
        {
            return null;
        }
    }

    /// <summary>The value of a node.</summary>
    public Task<byte[]> ReadBytesAsync(string path, CancellationToken cancellationToken = default) =>
        RequestAsync(Xenstore.MessageType.Read, path, [], cancellationToken);

    /// <summary>Sets the value of a node; makes it and its parents if they are not there.</summary>
    public Task WriteAsync(string path, string value, CancellationToken cancellationToken = default) =>
        WriteAsync(path, Encoding.UTF8.GetBytes(value), cancellationToken);

    /// <inheritdoc cref="WriteAsync(string, string, CancellationToken)"/>
    public Task WriteAsync(string path, ReadOnlyMemory<byte> value, CancellationToken cancellationToken = default) =>
        OkAsync(Xenstore.MessageType.Write, path, value.Span, cancellationToken);

    /// <summary>Makes a node with no value, and its parents; nothing if it is there.</summary>
    public Task MakeDirectoryAsync(string path, CancellationToken cancellationToken = default) =>
        OkAsync(Xenstore.MessageType.Mkdir, path, [], cancellationToken);

    /// <summary>Removes a node and everything below it. ENOENT only if its parent is missing too.</summary>
    public Task RemoveAsync(string path, CancellationToken cancellationToken = default) =>
        OkAsync(Xenstore.MessageType.Rm, path, [], cancellationToken);

    /// <summary>The names of a node's children, however many.</summary>
    public async Task<IReadOnlyList<string>> ListAsync(string path, CancellationToken cancellationToken = default)
    {
        try
        {
            return Strings(await RequestAsync(Xenstore.MessageType.Directory, path, [], cancellationToken).ConfigureAwait(false));
        }
        catch (XenException e) when (e.Error == XenErrno.E2BIG)
        {
            return await ListInPartsAsync(path, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Who may do what: the owner first.</summary>
    public async Task<IReadOnlyList<XenStorePermission>> GetPermissionsAsync(string path, CancellationToken cancellationToken = default)
    {
        var permissions = new List<XenStorePermission>();
        foreach (string text in Strings(await RequestAsync(Xenstore.MessageType.GetPerms, path, [], cancellationToken).ConfigureAwait(false)))
        {
            if (!XenStorePermission.TryParse(text, out XenStorePermission permission))
                throw Connection.Nonsense($"xenstore sent a permission of {path} that is none");
            permissions.Add(permission);
        }
        return permissions;
    }

    /// <summary>Says who may do what. The first entry is the owner and the default for everybody without an entry.</summary>
    /// <param name="permissions">At least one.</param>
    public Task SetPermissionsAsync(string path, IReadOnlyCollection<XenStorePermission> permissions, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfZero(permissions.Count);
        string[] strings = [path, .. permissions.Select(static permission => permission.ToString())];
        return OkAsync(Xenstore.MessageType.SetPerms, path, StoreMessage.Build(Xenstore.MessageType.SetPerms, TransactionId, [], strings), cancellationToken);
    }

    private protected Task<byte[]> RequestAsync(Xenstore.MessageType type, string path, ReadOnlySpan<byte> raw, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return Connection.RequestAsync(type, path, StoreMessage.Build(type, TransactionId, raw, path), cancellationToken);
    }

    private protected Task OkAsync(Xenstore.MessageType type, string path, ReadOnlySpan<byte> raw, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return OkAsync(type, path, StoreMessage.Build(type, TransactionId, raw, path), cancellationToken);
    }

    private protected async Task OkAsync(Xenstore.MessageType type, string subject, byte[] message, CancellationToken cancellationToken)
    {
        byte[] reply = await Connection.RequestAsync(type, subject, message, cancellationToken).ConfigureAwait(false);
        if (!reply.AsSpan().SequenceEqual(Ok)) throw Connection.Nonsense($"xenstore answered {type} {subject} with something other than OK");
    }

    private protected List<string> Strings(byte[] payload) =>
        StoreMessage.TrySplit(payload, out List<string> strings) ? strings : throw Connection.Nonsense("xenstore sent a list whose last entry has no end");

    // Names as bytes, a part at a time; an empty name ends them. A node that changes meanwhile is read from its start again.
    private async Task<IReadOnlyList<string>> ListInPartsAsync(string path, CancellationToken cancellationToken)
    {
        using var names = new MemoryStream();
        string? generation = null;
        int restarts = 0;
        while (true)
        {
            byte[] message = StoreMessage.Build(Xenstore.MessageType.DirectoryPart, TransactionId, [], path, $"{names.Length}");
            byte[] part = await Connection.RequestAsync(Xenstore.MessageType.DirectoryPart, path, message, cancellationToken).ConfigureAwait(false);
            int end = Array.IndexOf(part, (byte)0);
            if (end < 0 || end == part.Length - 1 || part[^1] != 0) throw Connection.Nonsense($"xenstore sent a part of the list of {path} that has no end");

            string partGeneration = Encoding.ASCII.GetString(part, 0, end);
            bool restarted = generation is not null && partGeneration != generation;
            generation = partGeneration;
            if (restarted)
            {
                if (++restarts > MaxListRestarts) throw Connection.Nonsense($"xenstore's list of {path} has changed {restarts} times while it was read");
                names.SetLength(0);
                continue;
            }

            names.Write(part, end + 1, part.Length - end - 1);
            if (names.Length > MaxListBytes) throw Connection.Nonsense($"xenstore's list of {path} has no end after {names.Length} bytes");
            byte[] all = names.GetBuffer();
            int length = (int)names.Length;
            if (length == 1 || all[length - 2] == 0) return Strings(all[..(length - 1)]);
        }
    }
}
