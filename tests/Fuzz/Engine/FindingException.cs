namespace Fuzz.Engine;

/// <summary>The slow check does not agree with what the product did.</summary>
internal sealed class FindingException(string message) : Exception(message)
{
    public static void Require(bool condition, string message)
    {
        if (!condition)
            throw new FindingException(message);
    }
}
