namespace XenModel.Store;

/// <summary>A node. Never changed in place: a new one takes its place, with a new generation.</summary>
/// <param name="Value">Its bytes.</param>
/// <param name="Children">Names, in the order they came.</param>
/// <param name="Permissions">Who may do what.</param>
/// <param name="Generation">Differs for every node that was ever at a path.</param>
internal sealed record StoreNode(ReadOnlyMemory<byte> Value, IReadOnlyList<string> Children, StorePermissions Permissions, ulong Generation);
