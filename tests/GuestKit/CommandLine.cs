namespace GuestKit;

/// <summary>A program and its arguments.</summary>
public sealed record CommandLine(string Program, IReadOnlyList<string> Arguments)
{
    public override string ToString() =>
        string.Join(' ', Arguments.Prepend(Program).Select(word => word.Contains(' ', StringComparison.Ordinal) ? $"'{word}'" : word));
}
