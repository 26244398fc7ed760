using System.Text.RegularExpressions;
using Xunit;

namespace Architecture.Tests;

/// <summary>The house rules that a machine can check.</summary>
public sealed class LayoutTests
{
    private const int LongestFile = 400;

    private static readonly string[] Product = ["src", "hypervisor/XenModel", "samples"];

    [Fact]
    public void Folders_WithSources_HaveAReadme()
    {
        List<string> without =
        [
            .. Product.SelectMany(Tree.Sources)
                .Select(static file => Path.GetDirectoryName(file)!)
                .Distinct()
                .Where(static folder => !File.Exists(Path.Combine(folder, "README.md")) && !HasReadmeAbove(folder))
                .Select(Tree.Relative),
        ];
        Assert.Empty(without);
    }

    [Fact]
    public void Files_OfTheProduct_AreShort()
    {
        List<string> tooLong =
        [
            .. from file in Product.SelectMany(Tree.Sources)
               let lines = File.ReadLines(file).Count()
               where lines > LongestFile
               select $"{Tree.Relative(file)}: {lines} lines",
        ];
        Assert.Empty(tooLong);
    }

    [Fact]
    public void Product_UnfinishedWork_IsNotCommitted()
    {
        List<string> found =
        [
            .. from file in Product.SelectMany(Tree.Sources)
               where Regex.IsMatch(File.ReadAllText(file), @"NotImplementedException|\bTODO\b|\bFIXME\b|#region")
               select Tree.Relative(file),
        ];
        Assert.Empty(found);
    }

    [Fact]
    public void Tests_Waiting_IsForEventsAndNotForTime()
    {
        List<string> found =
        [
            .. from file in Tree.Sources("tests")
               where file != typeof(LayoutTests).Name && Regex.IsMatch(File.ReadAllText(file), @"\bThread" + @"\.Sleep\b")
               select Tree.Relative(file),
        ];
        Assert.Empty(found);
    }

    // A small room shares the README of the folder above it (a project of one page, Kernel/Linux).
    private static bool HasReadmeAbove(string folder)
    {
        string parent = Path.GetDirectoryName(folder)!;
        return File.Exists(Path.Combine(parent, "README.md")) && parent != Tree.Root && Path.GetFileName(parent) is not ("src" or "hypervisor" or "samples");
    }
}
