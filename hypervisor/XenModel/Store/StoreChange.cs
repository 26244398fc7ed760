namespace XenModel.Store;

/// <summary>Something to tell watches.</summary>
/// <param name="Path">The changed node.</param>
/// <param name="Permissions">Who could read it when it changed.</param>
/// <param name="ExactOnly">It went with a parent: only watches of that very path hear of it.</param>
internal readonly record struct StoreChange(string Path, StorePermissions Permissions, bool ExactOnly);
