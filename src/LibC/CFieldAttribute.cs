namespace VhostXen.Linux;

/// <summary>The C designator of a field where it is not the C# name, for example "u.hvm.port".</summary>
[AttributeUsage(AttributeTargets.Field, Inherited = false)]
public sealed class CFieldAttribute(string name) : Attribute
{
    public string Name { get; } = name;
}
