using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

namespace Architecture.Tests;

/// <summary>The repository as files: these tests read source, so that they also see what no assembly shows.</summary>
internal static partial class Tree
{
    public static readonly string Root = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(ThisFile())!, "..", ".."));

    /// <summary>All C# files under a folder, without what builds leave.</summary>
    public static IEnumerable<string> Sources(string folder)
        => Directory.Exists(Path.Combine(Root, folder))
            ? Directory.EnumerateFiles(Path.Combine(Root, folder), "*.cs", SearchOption.AllDirectories)
                .Where(static file => !file.Contains("/obj/") && !file.Contains("/bin/"))
            : [];

    /// <summary>Namespaces that a file names in using directives.</summary>
    public static IEnumerable<string> Usings(string file)
        => UsingDirective().Matches(File.ReadAllText(file)).Select(static match => match.Groups[1].Value);

    public static string Relative(string file) => Path.GetRelativePath(Root, file);

    [GeneratedRegex(@"^(?:global )?using (?:static )?(?:\w+ = )?([\w.]+);", RegexOptions.Multiline)]
    private static partial Regex UsingDirective();

    private static string ThisFile([CallerFilePath] string path = "") => path;
}
