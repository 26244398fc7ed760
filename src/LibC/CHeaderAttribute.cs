namespace VhostXen.Linux;

/// <summary>
/// Names a C header that declares what this type holds. The constants of a class that carries it are compared
/// with the C constants of the same names by tests/Abi.
/// </summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Struct | AttributeTargets.Enum, AllowMultiple = true, Inherited = false)]
public sealed class CHeaderAttribute(string header) : Attribute
{
    /// <summary>As written between the angle brackets of #include.</summary>
    public string Header { get; } = header;
}
