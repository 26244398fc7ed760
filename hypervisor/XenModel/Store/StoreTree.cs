namespace XenModel.Store;

/// <summary>All nodes by path.</summary>
internal sealed class StoreTree : IStoreView
{
    private readonly Dictionary<string, StoreNode> _nodes = new(StringComparer.Ordinal);
    private readonly Dictionary<ushort, int> _counts = [];

    public StoreTree() => Put("/", new StoreNode(default, [], StorePermissions.Domain0, 0));

    public int Count => _nodes.Count;

    public StoreNode? Find(string path) => _nodes.GetValueOrDefault(path);

    public void Put(string path, StoreNode node)
    {
        if (_nodes.TryGetValue(path, out StoreNode? old)) Count1(old.Permissions.Owner, -1);
        _nodes[path] = node;
        Count1(node.Permissions.Owner, 1);
    }

    public void Remove(string path)
    {
        if (_nodes.Remove(path, out StoreNode? old)) Count1(old.Permissions.Owner, -1);
    }

    public int CountOf(ushort owner) => _counts.GetValueOrDefault(owner);

    private void Count1(ushort owner, int change)
    {
        int count = _counts.GetValueOrDefault(owner) + change;
        if (count == 0) _counts.Remove(owner);
        else _counts[owner] = count;
    }
}
