namespace VhostXen.Linux;

/// <summary>
/// Ties a struct to its C counterpart: tests/Abi lets gcc compare size and field offsets.
/// </summary>
/// <param name="name">The C type, for example "struct privcmd_mmapbatch_v2"; null means "struct " and the C# name.</param>
/// <param name="header">The header that declares it, as between the angle brackets of #include.</param>
[AttributeUsage(AttributeTargets.Struct, Inherited = false)]
public sealed class CStructAttribute(string? name = null, string? header = null) : Attribute
{
    public string? Name { get; } = name;
    public string? Header { get; } = header;

    /// <summary>
    /// The C type ends in a flexible array whose place this struct does not hold, or has a tail this struct does not name:
    /// offsets are compared, and the size must not exceed C's.
    /// </summary>
    public bool Prefix { get; init; }
}
