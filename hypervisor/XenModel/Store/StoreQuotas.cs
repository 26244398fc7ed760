namespace XenModel.Store;

/// <summary>What a domain other than domain 0 may use: the defaults of the C daemon.</summary>
internal static class StoreQuotas
{
    public const int Nodes = 1000;
    /// <summary>The daemon counts one more before it refuses.</summary>
    public const int Watches = 128;
    /// <summary>A node is smaller than this, see where it is checked.</summary>
    public const int NodeSize = 2048;
    /// <inheritdoc cref="Watches"/>
    public const int Transactions = 10;
    public const int NodesPerTransaction = 1024;
    public const int PermissionEntries = 5;
}
