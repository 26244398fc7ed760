namespace XenMemoryProvider.Kernel;

/// <summary>A page that a domain granted.</summary>
/// <param name="Domid">The granter.</param>
/// <param name="Reference">Index into its grant table.</param>
public readonly record struct GrantReference(ushort Domid, uint Reference);
