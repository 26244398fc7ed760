using System.Globalization;
using System.Text;
using XenMemoryProvider.Abi;
using Access = XenModel.Store.StorePermissions.Access;

namespace XenModel.Store;

internal sealed partial class StoreServer
{
    /// <summary>A node that the client may use so. What may not be known to exist answers like what does not.</summary>
    private static StoreNode Find(Request request, string path, Access access) =>
        TryFind(request, path, access, out XenErrno error) ?? throw new StoreError(error);

    private static StoreNode? TryFind(Request request, string path, Access access, out XenErrno error)
    {
        StoreClient client = request.Client;
        StoreNode? node = request.View.Find(path);
        error = XenErrno.None;
        if (node is not null && (node.Permissions.Of(client.Domid, client.Privileged) & access) == access) return node;
        error = node is null ? XenErrno.ENOENT : XenErrno.EACCES;

        // The nearest node above decides whether the client may know.
        string parent = path;
        StoreNode? above = null;
        while (above is null && parent != "/") above = request.View.Find(parent = StorePath.Parent(parent));
        if (above is null || (above.Permissions.Of(client.Domid, client.Privileged) & access) == 0) error = XenErrno.EACCES;
        return null;
    }

    private static void Directory(Request request, ReadOnlySpan<byte> payload)
    {
        StoreNode node = Find(request, NodePath(request, payload), Access.Read);
        Reply(request, Encoding.Latin1.GetBytes(string.Concat(node.Children.Select(child => child + "\0"))));
    }

    // The generation, then as many whole names as fit, then an empty one if that was all.
    private static void DirectoryPart(Request request, string[] arguments)
    {
        StoreNode node = Find(request, Path(request, arguments[0]), Access.Read);
        if (!uint.TryParse(arguments[1], NumberStyles.None, CultureInfo.InvariantCulture, out uint offset)) throw new StoreError(XenErrno.EINVAL);
        string generation = node.Generation.ToString(CultureInfo.InvariantCulture) + "\0";
        string all = string.Concat(node.Children.Select(child => child + "\0"));
        string rest = offset < all.Length ? all[(int)offset..] : "";
        int room = Xenstore.PayloadMax - generation.Length - 1;
        if (rest.Length > room) rest = rest[..(rest.LastIndexOf('\0', room - 1) + 1)];
        else rest += "\0";
        Reply(request, Encoding.Latin1.GetBytes(generation + rest));
    }

    private void Write(Request request, ReadOnlySpan<byte> payload)
    {
        int end = payload.IndexOf((byte)0);
        if (end < 0) throw new StoreError(XenErrno.EINVAL);
        string path = Path(request, Encoding.Latin1.GetString(payload[..end]));
        byte[] value = payload[(end + 1)..].ToArray();
        StoreNode? node = TryFind(request, path, Access.Write, out XenErrno error);
        if (node is null && error != XenErrno.ENOENT) throw new StoreError(error);
        if (node is null) Create(request, path, value);
        else Put(request, path, node with { Value = value, Generation = _generation++ });
        Changed(request, path);
        Acknowledge(request);
    }

    private void Mkdir(Request request, string name)
    {
        string path = Path(request, name);
        if (TryFind(request, path, Access.Write, out XenErrno error) is null)
        {
            if (error != XenErrno.ENOENT) throw new StoreError(error);
            Create(request, path, []);
            Changed(request, path);
        }

        Acknowledge(request);
    }

    private void Remove(Request request, string name)
    {
        string path = Path(request, name);
        if (TryFind(request, path, Access.Write, out XenErrno error) is null)
        {
            // Missing already is success, if it could have been there.
            if (error != XenErrno.ENOENT || request.View.Find(StorePath.Parent(path)) is null) throw new StoreError(error);
            Acknowledge(request);
            return;
        }

        if (path == "/") throw new StoreError(XenErrno.EINVAL);
        RemoveTree(request, path, exactOnly: false);
        string parent = StorePath.Parent(path);
        if (request.View.Find(parent) is { } above)
            Put(request, parent, above with { Children = [.. above.Children.Where(child => child != StorePath.Name(path))], Generation = _generation++ });
        Fire();
        Acknowledge(request);
    }

    private void RemoveTree(Request request, string root, bool exactOnly)
    {
        var left = new Stack<(string Path, bool ExactOnly)>();
        left.Push((root, exactOnly));
        while (left.TryPop(out (string Path, bool ExactOnly) next))
        {
            if (request.View.Find(next.Path) is not { } node) continue;
            foreach (string child in node.Children) left.Push((StorePath.Child(next.Path, child), true));
            request.View.Remove(next.Path);
            Note(request, new StoreChange(next.Path, node.Permissions, next.ExactOnly));
        }
    }

    private static void GetPermissions(Request request, ReadOnlySpan<byte> payload) =>
        Reply(request, Encoding.ASCII.GetBytes(Find(request, NodePath(request, payload), Access.Read).Permissions.Format()));

    private void SetPermissions(Request request, ReadOnlySpan<byte> payload)
    {
        if (payload.Count((byte)0) < 2 || payload[^1] != 0) throw new StoreError(XenErrno.EINVAL);
        string[] strings = Encoding.Latin1.GetString(payload[..^1]).Split('\0');
        StorePermissions permissions = StorePermissions.TryParse(strings.Skip(1)) ?? throw new StoreError(XenErrno.EINVAL);
        StoreClient client = request.Client;
        if (!client.Privileged && permissions.Entries.Count > StoreQuotas.PermissionEntries) throw new StoreError(XenErrno.ENOSPC);
        if (!exists(permissions.Owner)) throw new StoreError(XenErrno.ENOENT);
        if (_special.ContainsKey(strings[0]))
        {
            if (!client.Privileged) throw new StoreError(XenErrno.EACCES);
            _special[strings[0]] = permissions;
            Acknowledge(request);
            return;
        }

        string path = Path(request, strings[0]);
        StoreNode node = Find(request, path, Access.Write | Access.Owner);
        if (!client.Privileged && permissions.Owner != node.Permissions.Owner) throw new StoreError(XenErrno.EPERM);
        Put(request, path, node with { Permissions = permissions, Generation = _generation++ });
        Note(request, new StoreChange(path, permissions, ExactOnly: false));
        Fire();
        Acknowledge(request);
    }

    // The node and those above it that are missing. New ones have their parent's permissions and, for a guest's, a new owner.
    private void Create(Request request, string path, byte[] value)
    {
        StoreClient client = request.Client;
        var missing = new Stack<string>();
        string at = path;
        StoreNode? above = null;
        while (above is null)
        {
            missing.Push(at);
            if (at == "/") throw new StoreError(XenErrno.EINVAL);
            at = StorePath.Parent(at);
            above = request.View.Find(at);
        }

        if (!client.Privileged && request.View.CountOf(client.Domid) + missing.Count > StoreQuotas.Nodes) throw new StoreError(XenErrno.ENOSPC);
        StorePermissions permissions = client.Privileged ? above.Permissions : above.Permissions.OwnedBy(client.Domid);
        CheckSize(client, new StoreNode(value, [], permissions, 0));
        while (missing.TryPop(out string? next))
        {
            StoreNode parent = request.View.Find(at)!;
            Put(request, at, parent with { Children = [.. parent.Children, StorePath.Name(next)], Generation = _generation++ });
            Put(request, next, new StoreNode(next == path ? value : default, [], permissions, _generation++));
            at = next;
        }
    }

    private static void Put(Request request, string path, StoreNode node)
    {
        CheckSize(request.Client, node);
        request.View.Put(path, node);
        if (!request.Client.Privileged && request.Transaction?.Count > StoreQuotas.NodesPerTransaction) throw new StoreError(XenErrno.ENOSPC);
    }

    // As the daemon keeps a node: a header, its permissions, its value, the names of its children.
    private static void CheckSize(StoreClient client, StoreNode node)
    {
        const int header = 24, permission = 8;
        if (client.Privileged) return;
        int size = header + permission * node.Permissions.Entries.Count + node.Value.Length + node.Children.Sum(static child => child.Length + 1);
        if (size >= StoreQuotas.NodeSize) throw new StoreError(XenErrno.ENOSPC);
    }

    private void Changed(Request request, string path)
    {
        Note(request, new StoreChange(path, request.View.Find(path)!.Permissions, ExactOnly: false));
        Fire();
    }
}
