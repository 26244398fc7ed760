using System.Text;
using System.Text.RegularExpressions;

namespace VhostXen.Abi.Tests;

/// <summary>What gcc says about a reader's assertions.</summary>
/// <param name="Compiled">How many assertions gcc evaluated.</param>
/// <param name="Absent">Assertions left out because the installed headers do not know their names.</param>
/// <param name="Errors">gcc's complaints; empty when all assertions hold.</param>
internal sealed partial record AbiComparison(int Compiled, IReadOnlyList<AbiAssertion> Absent, string Errors)
{
    /// <param name="prologue">C that must come before the headers: definitions they expect.</param>
    public static AbiComparison Run(AbiReader reader, string prologue = "")
    {
        string includes = Includes(reader, prologue);
        HashSet<string> known = [.. Identifier().Matches(Gcc.Preprocess(includes)).Select(m => m.Value)];
        ILookup<bool, AbiAssertion> present = reader.Assertions.ToLookup(a => a.Identifiers.All(known.Contains));
        (int exit, string errors) = Gcc.Compile(Source(includes, present[true]));
        return new AbiComparison(present[true].Count(), [.. present[false]], exit == 0 ? "" : errors);
    }

    private static string Includes(AbiReader reader, string prologue)
    {
        var c = new StringBuilder(prologue).AppendLine();
        c.AppendLine("#include <stddef.h>");
        c.AppendLine("#include <stdint.h>");
        foreach (string header in reader.Headers)
            c.AppendLine($"#include <{header}>");
        return c.ToString();
    }

    private static string Source(string includes, IEnumerable<AbiAssertion> assertions)
    {
        var c = new StringBuilder(includes);
        foreach (AbiAssertion a in assertions)
            c.AppendLine($"_Static_assert(({a.Expression}) {a.Relation} {a.Value}, \"{a.Subject} is {a.Value} in C#\");");
        return c.ToString();
    }

    [GeneratedRegex(@"[A-Za-z_]\w*")]
    private static partial Regex Identifier();
}
