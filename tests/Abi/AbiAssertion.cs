using System.Text.RegularExpressions;

namespace VhostXen.Abi.Tests;

/// <summary>One thing C must agree with.</summary>
/// <param name="Subject">Where it comes from on our side: "msghdr.msg_iov offset".</param>
/// <param name="Expression">A C expression of our declarations only: what the headers say.</param>
/// <param name="Relation">== or, for a struct that is a prefix, &gt;=.</param>
/// <param name="Value">Our value, as a C literal.</param>
internal sealed partial record AbiAssertion(string Subject, string Expression, string Relation, string Value)
{
    private static readonly HashSet<string> Keywords =
        ["sizeof", "offsetof", "struct", "union", "enum", "unsigned", "signed", "char", "short", "int", "long", "void", "__typeof__"];

    /// <summary>The names that headers must know for the expression to mean anything.</summary>
    public IEnumerable<string> Identifiers =>
        Identifier().Matches(Expression).Select(m => m.Value).Where(name => !Keywords.Contains(name));

    [GeneratedRegex(@"(?<![\w])[A-Za-z_]\w*")]
    private static partial Regex Identifier();
}
