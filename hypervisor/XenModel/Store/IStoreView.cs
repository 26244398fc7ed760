namespace XenModel.Store;

/// <summary>The tree as a request sees it: as it is, or as it is in a transaction.</summary>
internal interface IStoreView
{
    StoreNode? Find(string path);

    void Put(string path, StoreNode node);

    void Remove(string path);

    /// <summary>Nodes that a domain owns in this view.</summary>
    int CountOf(ushort owner);
}
