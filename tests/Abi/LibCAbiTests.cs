using VhostXen.Linux;
using Xunit;

namespace VhostXen.Abi.Tests;

public sealed class LibCAbiTests(ITestOutputHelper output)
{
    // Names that the headers of the oldest supported system (Debian 12: Linux 6.1, glibc 2.36) do not have.
    private static readonly string[] MayBeAbsent = ["LibC.SCM_PIDFD"];

    private static AbiReader Reader => AbiReader.Of(typeof(LibC).Assembly, typeof(LibC).Namespace!);

    [Fact]
    public void Declarations_Each_NameTheirCounterpart() => Assert.Empty(Reader.Problems);

    [Fact]
    [Trait("Category", "Gcc")]
    public void Declarations_ComparedByGcc_Agree()
    {
        AbiReader reader = Reader;
        AbiComparison result = AbiComparison.Run(reader);

        output.WriteLine($"{result.Compiled} of {reader.Assertions.Count} assertions compiled, {result.Absent.Count} absent from the headers");
        Assert.True(result.Errors.Length == 0, result.Errors);
        Assert.Empty(result.Absent.Select(a => a.Subject).Except(MayBeAbsent));
        Assert.True(result.Compiled > 400, $"only {result.Compiled} assertions");
    }
}
