namespace XenModel.Store;

/// <summary>
/// A transaction: nodes as they were when it first touched them, and what it made of them. It may end with success only if
/// none of those has changed since.
/// </summary>
internal sealed class StoreTransaction(uint id, StoreTree tree) : IStoreView
{
    private readonly Dictionary<string, Touched> _nodes = new(StringComparer.Ordinal);

    public uint Id => id;

    public List<StoreChange> Changes { get; } = [];

    /// <summary>Nodes it has touched.</summary>
    public int Count => _nodes.Count;

    public StoreNode? Find(string path) => Touch(path).Current;

    public void Put(string path, StoreNode node)
    {
        Touched touched = Touch(path);
        touched.Current = node;
        touched.Changed = true;
    }

    public void Remove(string path)
    {
        Touched touched = Touch(path);
        touched.Current = null;
        touched.Changed = true;
    }

    public int CountOf(ushort owner)
    {
        int count = tree.CountOf(owner);
        foreach ((string path, Touched touched) in _nodes)
        {
            if (tree.Find(path)?.Permissions.Owner == owner) count--;
            if (touched.Current?.Permissions.Owner == owner) count++;
        }

        return count;
    }

    /// <summary>Makes its changes everybody's. False: a node it used has changed meanwhile, and nothing was done.</summary>
    public bool TryCommit()
    {
        foreach ((string path, Touched touched) in _nodes)
        {
            if (tree.Find(path)?.Generation != touched.Generation) return false;
        }

        foreach ((string path, Touched touched) in _nodes)
        {
            if (!touched.Changed) continue;
            if (touched.Current is { } node) tree.Put(path, node);
            else tree.Remove(path);
        }

        return true;
    }

    private Touched Touch(string path)
    {
        if (_nodes.TryGetValue(path, out Touched? touched)) return touched;
        StoreNode? node = tree.Find(path);
        _nodes.Add(path, touched = new Touched { Generation = node?.Generation, Current = node });
        return touched;
    }

    private sealed class Touched
    {
        public ulong? Generation { get; init; }

        public StoreNode? Current { get; set; }

        public bool Changed { get; set; }
    }
}
