using Fuzz.Engine;
using Fuzz.Oracles;
using Fuzz.Targets;
using Fuzz.Targets.Registers;
using TestKit;
using Xunit;

namespace Fuzz;

/// <summary>Ten thousand hostile sessions leave nothing behind, and the device still works. Alone, because it counts what the whole process has.</summary>
[CollectionDefinition(nameof(LeakTests), DisableParallelization = true)]
[Collection(nameof(LeakTests))]
public sealed class LeakTests
{
    private const int Sessions = 10_000;

    [Fact]
    public void HostileSessions_TenThousand_LeaveNothing()
    {
        using var target = new MessageTarget();
        LeaveNothing(target, "message");
        target.Prove();
    }

    /// <summary>The other side: our front-end, and back-ends that lie to it.</summary>
    [Fact]
    public void HostileBackends_TenThousand_LeaveNothing()
    {
        using var target = new FrontendTarget();
        LeaveNothing(target, "frontend");
    }

    private static void LeaveNothing(FuzzTarget target, string name)
    {
        byte[][] corpus = [.. new Corpus(Path.Combine(Corpus.Root, name)).Load().Select(static entry => entry.Input)];
        var random = new Random(20240607);
        var mutator = new Mutator(random, target.MaxLength);
        var seen = new Behaviour();
        Run(500);
        ProcessCount before = Count();
        Run(Sessions);

        ProcessCount after = default;
        Assert.True(SpinWait.SpinUntil(() => (after = Count()).IsWithin(before), RawFrontend.Deadline), $"before {before}, after {after}");

        void Run(int sessions)
        {
            for (int i = 0; i < sessions; i++)
            {
                byte[] input = i % 4 == 0 ? mutator.Fresh() : mutator.Mutate(Any(), Any());
                target.Run(new FuzzInput(input), seen);
                seen.Clear();
            }
        }

        // Mappings of memfds are what front-ends sent.
        static ProcessCount Count() => ProcessCount.Now(["/memfd:guest", "/memfd:fuzz", "/memfd:vhost"]);

        byte[] Any() => corpus[random.Next(corpus.Length)];
    }

    [Fact]
    public void HostileGuests_AndTheirDeaths_LeaveNothing()
    {
        using var target = new RegisterTarget();
        byte[][] corpus = [.. new Corpus(Path.Combine(Corpus.Root, "registers")).Load().Select(static entry => entry.Input)];
        var random = new Random(20240607);
        var mutator = new Mutator(random, target.MaxLength);
        var seen = new Behaviour();
        for (int i = 0; i < 120; i++)
        {
            target.Run(new FuzzInput(i % 2 == 0 ? mutator.Fresh() : mutator.Mutate(corpus[random.Next(corpus.Length)], corpus[random.Next(corpus.Length)])), seen);
            seen.Clear();
        }

        target.Finish();
        Assert.True(target.Acts > 5_000, $"{target.Acts} accesses");
    }
}
