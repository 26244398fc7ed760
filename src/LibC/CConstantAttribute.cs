namespace VhostXen.Linux;

/// <summary>
/// Ties a constant, a static property or an enum member to the C expression that must have the same value.
/// </summary>
/// <param name="name">The C name or expression; null means the C# name.</param>
/// <param name="header">The header that declares it, as between the angle brackets of #include.</param>
[AttributeUsage(AttributeTargets.Field | AttributeTargets.Property, Inherited = false)]
public sealed class CConstantAttribute(string? name = null, string? header = null) : Attribute
{
    public string? Name { get; } = name;
    public string? Header { get; } = header;
}
