namespace Conformance;

/// <summary>One step of a script that was taken.</summary>
/// <param name="What">What was done, in Xen's words.</param>
/// <param name="Expected">What Xen answers.</param>
/// <param name="Actual">What this machine answered.</param>
internal readonly record struct Step(string What, string Expected, string Actual)
{
    public bool IsAsExpected => Expected == Actual;
}
