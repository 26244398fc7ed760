using Fuzz.Engine;
using Fuzz.Targets;
using Xunit;

namespace Fuzz;

/// <summary>
/// The corpus again, what once broke something included, and a second of new inputs for every target. The fuzzer itself goes
/// on for as long as it is told: README.md.
/// </summary>
[CollectionDefinition(nameof(FuzzTests), DisableParallelization = true)]
[Collection(nameof(FuzzTests))]
public sealed class FuzzTests
{
    private const int Seed = 20240607;

    public static TheoryData<string> Targets => [.. AllTargets.ByName.Keys];

    [Theory]
    [MemberData(nameof(Targets))]
    public void Corpus_Replayed_BreaksNothing(string name)
    {
        IReadOnlyList<(string Name, byte[] Input)> corpus = new Corpus(Path.Combine(Corpus.Root, name)).Load();
        Assert.NotEmpty(corpus);
        using FuzzTarget target = AllTargets.ByName[name]();
        var seen = new HashSet<string>();
        foreach ((string file, byte[] input) in corpus)
        {
            var behaviour = new Behaviour();
            if (Record.Exception(() => target.Run(new FuzzInput(input), behaviour)) is { } cause)
                Assert.Fail($"{name}/{file}: {cause}");

            seen.UnionWith(behaviour.Things);
        }

        // Inputs that do not lead anywhere any more prove nothing.
        Assert.True(seen.Count >= 8, $"{corpus.Count} inputs lead to {seen.Count} behaviours");
    }

    [Theory]
    [MemberData(nameof(Targets))]
    public void NewInputs_ForASecond_BreakNothing(string name)
    {
        using var fuzzer = new Fuzzer(name, AllTargets.ByName[name], Seed, new Corpus(Path.Combine(Corpus.Root, name)).Load().Select(static entry => entry.Input));
        long runs = fuzzer.Runs;
        fuzzer.RunFor(TimeSpan.FromSeconds(1));
        Assert.True(fuzzer.Findings.Count == 0, string.Join("\n", fuzzer.Findings.Select(static finding => $"{Convert.ToHexStringLower(finding.Input)}: {finding.Cause}")));
        Assert.True(fuzzer.Runs > runs);
    }
}
