namespace XenMemoryProvider.Store;

/// <summary>Nodes as of one moment, changed all at once or not at all: see <see cref="XenStore.TransactionAsync{T}"/>.</summary>
public sealed class XenStoreTransaction : XenStoreNodes
{
    internal XenStoreTransaction(StoreConnection connection, uint id)
        : base(connection) => TransactionId = id;

    private protected override uint TransactionId { get; }
}
