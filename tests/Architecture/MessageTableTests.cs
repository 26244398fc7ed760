using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Xunit;

namespace Architecture.Tests;

/// <summary>docs/vhost-user-messages.md against the enums that it is about, and against the tests that it names.</summary>
public sealed partial class MessageTableTests
{
    private static readonly string Document = Path.Combine(Tree.Root, "docs", "vhost-user-messages.md");

    [Theory]
    [InlineData("Front-end messages", "FrontendRequest")]
    [InlineData("Back-end messages", "BackendRequest")]
    [InlineData("Protocol features", "ProtocolFeatures")]
    public void Table_OfAnEnum_HasItsMembersAndNoOthers(string section, string type)
    {
        string source = File.ReadAllText(Path.Combine(Tree.Root, "src", "VhostUser", "Protocol", $"{type}.cs"));
        string[] members =
        [
            .. from Match member in Member().Matches(source)
               where member.Groups[1].Value != "None"
               select $"{member.Groups[2].Value} {Screaming(member.Groups[1].Value)}",
        ];
        Assert.NotEmpty(members);
        Assert.Equal(members, Rows(section).Select(static row => $"{row[0]} {Plain(row[1])}"), StringComparer.Ordinal);
    }

    [Theory]
    [InlineData("Front-end messages")]
    [InlineData("Back-end messages")]
    [InlineData("Protocol features")]
    [InlineData("Rings")]
    public void Tables_NameTestClasses_ThatExist(string section)
    {
        HashSet<string> classes =
        [
            .. from file in Tree.Sources("tests")
               from Match match in TestClass().Matches(File.ReadAllText(file))
               select match.Groups[1].Value,
        ];
        List<string> wrong = [];
        foreach (string[] row in Rows(section))
        {
            // The last column is the peer, the one before it the tests: at least one.
            string[] named = row[^2].Split(", ", StringSplitOptions.RemoveEmptyEntries);
            wrong.AddRange(named.Where(name => !classes.Contains(name)).Select(name => $"{row[0]} {row[1]}: no test class {name}"));
            if (named.Length == 0)
                wrong.Add($"{row[0]} {row[1]}: no test");
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public void Prose_NamesTestClasses_ThatExist()
    {
        string tests = string.Concat(Tree.Sources("tests").Select(File.ReadAllText));
        string[] named = [.. NamedInProse().Matches(File.ReadAllText(Document)).Select(static match => match.Groups[1].Value).Distinct()];
        Assert.NotEmpty(named);
        Assert.All(named, name => Assert.Contains($"class {name}", tests, StringComparison.Ordinal));
    }

    /// <summary>The cells of a section's table, without head and rule.</summary>
    private static List<string[]> Rows(string section)
    {
        string text = File.ReadAllText(Document);
        int start = text.IndexOf($"\n## {section}\n", StringComparison.Ordinal);
        Assert.True(start >= 0, $"no section \"{section}\"");
        int end = text.IndexOf("\n## ", start + 1, StringComparison.Ordinal);
        string[] lines = [.. text[start..(end < 0 ? text.Length : end)].Split('\n').Where(static line => line.StartsWith('|'))];
        List<string[]> rows = [.. lines.Skip(2).Select(static line => line.Trim('|').Split('|').Select(static cell => cell.Trim()).ToArray())];
        Assert.NotEmpty(rows);
        Assert.All(rows, row => Assert.Equal(rows[0].Length, row.Length));
        return rows;
    }

    /// <summary>SetMemTable is SET_MEM_TABLE.</summary>
    private static string Screaming(string name)
    {
        var text = new StringBuilder();
        foreach (char c in name)
        {
            if (char.IsUpper(c) && text.Length > 0)
                text.Append('_');

            text.Append(char.ToUpper(c, CultureInfo.InvariantCulture));
        }

        return Plain(text.ToString());
    }

    // The specification writes PAGEFAULT, SHMFD and XEN_MMAP, and nobody has to agree on where words end.
    private static string Plain(string name) => name.Replace("_", "", StringComparison.Ordinal);

    [GeneratedRegex(@"^\s+(\w+) = (?:1UL << )?(\d+),", RegexOptions.Multiline)]
    private static partial Regex Member();

    [GeneratedRegex(@"class (\w+Tests)\b")]
    private static partial Regex TestClass();

    [GeneratedRegex(@"`(\w+Tests)\b")]
    private static partial Regex NamedInProse();
}
