using Fuzz.Engine;
using Fuzz.Targets;
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
        byte[][] corpus = [.. new Corpus(Path.Combine(Corpus.Root, "message")).Load().Select(static entry => entry.Input)];
        var random = new Random(20240607);
        var mutator = new Mutator(random, target.MaxLength);
        var seen = new Behaviour();
        Run(500);
        (int Fds, int Threads, int Shared, int All) before = Count();
        Run(Sessions);

        // Mappings of memfds are what front-ends sent: counted exactly. The runtime's own come and go as it compiles.
        Assert.True(
            SpinWait.SpinUntil(
                () =>
                {
                    (int Fds, int Threads, int Shared, int All) after = Count();
                    return after.Fds <= before.Fds && after.Threads <= before.Threads && after.Shared <= before.Shared && after.All <= before.All + 200;
                },
                RawFrontend.Deadline),
            $"before {before}, after {Count()}");
        target.Prove();

        void Run(int sessions)
        {
            for (int i = 0; i < sessions; i++)
            {
                byte[] input = i % 4 == 0 ? mutator.Fresh() : mutator.Mutate(Any(), Any());
                target.Run(new FuzzInput(input), seen);
                seen.Clear();
            }
        }

        byte[] Any() => corpus[random.Next(corpus.Length)];
    }

    private static (int Fds, int Threads, int Shared, int All) Count() => (
        Directory.GetFileSystemEntries("/proc/self/fd").Length,
        Directory.GetDirectories("/proc/self/task").Count(static task => !NameOf(task).StartsWith(".NET", StringComparison.Ordinal)),
        File.ReadLines("/proc/self/maps").Count(static line => line.Contains("/memfd:guest") || line.Contains("/memfd:fuzz") || line.Contains("/memfd:vhost")),
        File.ReadLines("/proc/self/maps").Count());

    /// <summary>The thread pool grows and shrinks as it likes.</summary>
    private static string NameOf(string task)
    {
        try
        {
            return File.ReadAllText(Path.Combine(task, "comm"));
        }
        catch (IOException)
        {
            return ".NET (ended)";
        }
    }
}
