namespace VhostXen.Linux;

/// <summary>Keeps a struct, field or constant out of the comparison with the C headers, and says why.</summary>
[AttributeUsage(AttributeTargets.Struct | AttributeTargets.Enum | AttributeTargets.Field | AttributeTargets.Property, Inherited = false)]
public sealed class NotInCAttribute(string why) : Attribute
{
    public string Why { get; } = why;
}
