using System.Text;
using XenMemoryProvider.Abi;
using Access = XenModel.Store.StorePermissions.Access;
using Type = XenMemoryProvider.Abi.Xenstore.MessageType;

namespace XenModel.Store;

/// <summary>The daemon: requests of all connections, one at a time. Any thread.</summary>
/// <param name="exists">Is there such a domain? Asked while the daemon is locked.</param>
internal sealed partial class StoreServer(Func<ushort, bool> exists)
{
    private static readonly byte[] Ok = "OK\0"u8.ToArray();

    private readonly Lock _gate = new();
    private readonly StoreTree _tree = new();
    private readonly List<StoreClient> _clients = [];
    private readonly Dictionary<string, StorePermissions> _special = new(StringComparer.Ordinal)
    {
        [StorePath.IntroduceDomain] = StorePermissions.Domain0,
        [StorePath.ReleaseDomain] = StorePermissions.Domain0,
    };

    private readonly HashSet<ushort> _introduced = [];
    private ulong _generation = 1;

    /// <summary>Nodes in the tree.</summary>
    public int NodeCount
    {
        get
        {
            lock (_gate) return _tree.Count;
        }
    }

    public int ClientCount
    {
        get
        {
            lock (_gate) return _clients.Count;
        }
    }

    public void Connect(StoreClient client)
    {
        lock (_gate) _clients.Add(client);
    }

    /// <summary>Forgets its watches; its transactions never happened.</summary>
    public void Disconnect(StoreClient client)
    {
        lock (_gate) _clients.Remove(client);
    }

    /// <summary>Answers one message.</summary>
    /// <param name="payload">At most 4096 bytes.</param>
    public void Handle(StoreClient client, Xenstore.Header header, ReadOnlySpan<byte> payload)
    {
        lock (_gate)
        {
            try
            {
                Dispatch(client, header, payload);
            }
            catch (StoreError refused)
            {
                byte[] name = Encoding.ASCII.GetBytes(Xenstore.ErrorName(refused.Error) + "\0");
                client.Send(Type.Error, header.RequestId, header.TransactionId, name);
            }
            finally
            {
                Fire();
            }
        }
    }

    /// <summary>A toolstack says that a domain exists.</summary>
    public void Introduce(ushort domid)
    {
        lock (_gate)
        {
            if (_introduced.Add(domid)) FireSpecial(StorePath.IntroduceDomain);
        }
    }

    /// <summary>A domain went, or stopped: watchers of @releaseDomain look for themselves.</summary>
    public void Release(ushort domid, bool gone)
    {
        lock (_gate)
        {
            if (gone) _introduced.Remove(domid);
            FireSpecial(StorePath.ReleaseDomain);
        }
    }

    private void Dispatch(StoreClient client, Xenstore.Header header, ReadOnlySpan<byte> payload)
    {
        bool inTransaction = header.TransactionId != 0 && header.Type is not (Type.Watch or Type.Unwatch or Type.ResetWatches);
        StoreTransaction? transaction = null;
        if (inTransaction && !client.Transactions.TryGetValue(header.TransactionId, out transaction)) throw new StoreError(XenErrno.ENOENT);
        var request = new Request(client, header, transaction, (IStoreView?)transaction ?? _tree);
        switch (header.Type)
        {
            case Type.Read:
                Reply(request, Find(request, NodePath(request, payload), Access.Read).Value.Span);
                break;
            case Type.Directory:
                Directory(request, payload);
                break;
            case Type.DirectoryPart:
                DirectoryPart(request, Strings(payload, 2));
                break;
            case Type.Write:
                Write(request, payload);
                break;
            case Type.Mkdir:
                Mkdir(request, Single(payload));
                break;
            case Type.Rm:
                Remove(request, Single(payload));
                break;
            case Type.GetPerms:
                GetPermissions(request, payload);
                break;
            case Type.SetPerms:
                SetPermissions(request, payload);
                break;
            case Type.Watch:
                Watch(request, Strings(payload, 2));
                break;
            case Type.Unwatch:
                Unwatch(request, Strings(payload, 2));
                break;
            case Type.ResetWatches:
                client.Watches.Clear();
                client.Transactions.Clear();
                Acknowledge(request);
                break;
            case Type.TransactionStart:
                StartTransaction(request);
                break;
            case Type.TransactionEnd:
                EndTransaction(request, Single(payload));
                break;
            case Type.GetDomainPath:
                Reply(request, Encoding.ASCII.GetBytes(StorePath.Home(Number(Single(payload))) + "\0"));
                break;
            default:
                DispatchPrivileged(request, payload);
                break;
        }
    }

    // Replies carry what the request carried; the type too.
    private static void Reply(Request request, ReadOnlySpan<byte> payload)
    {
        if (payload.Length > Xenstore.PayloadMax) throw new StoreError(XenErrno.E2BIG);
        request.Client.Send(request.Header.Type, request.Header.RequestId, request.Header.TransactionId, payload);
    }

    private static void Acknowledge(Request request) => Reply(request, Ok);

    private static string Path(Request request, string name) =>
        StorePath.Canonicalize(name, request.Client.Domid) ?? throw new StoreError(XenErrno.EINVAL);

    // What is no string names no node.
    private static string NodePath(Request request, ReadOnlySpan<byte> payload) =>
        payload.IsEmpty || payload.IndexOf((byte)0) != payload.Length - 1 ? throw new StoreError(XenErrno.ENOENT) : Path(request, Single(payload));

    // One string and its NUL, and nothing after it.
    private static string Single(ReadOnlySpan<byte> payload)
    {
        if (payload.IsEmpty || payload.IndexOf((byte)0) != payload.Length - 1) throw new StoreError(XenErrno.EINVAL);
        return Encoding.Latin1.GetString(payload[..^1]);
    }

    private static string[] Strings(ReadOnlySpan<byte> payload, int count)
    {
        if (payload.IsEmpty || payload[^1] != 0 || payload.Count((byte)0) != count) throw new StoreError(XenErrno.EINVAL);
        return Encoding.Latin1.GetString(payload[..^1]).Split('\0');
    }

    // As atoi takes it: the digits it begins with.
    private static ushort Number(string text)
    {
        ReadOnlySpan<char> digits = text.AsSpan();
        int end = digits.IndexOfAnyExceptInRange('0', '9');
        if (end >= 0) digits = digits[..end];
        return uint.TryParse(digits, out uint number) ? (ushort)number : (ushort)0;
    }

    private readonly record struct Request(StoreClient Client, Xenstore.Header Header, StoreTransaction? Transaction, IStoreView View);
}
