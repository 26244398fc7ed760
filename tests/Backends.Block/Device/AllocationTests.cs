using Backends.Block.Stores;
using VhostUser.Memory;

namespace Backends.Block.Tests.Device;

/// <summary>The data path allocates nothing: not on the worker, and not anywhere else in the process meanwhile.</summary>
public sealed class AllocationTests
{
    private const int Rounds = 10_000;

    // A garbage collector that runs, or the runtime's own threads, may take a little; a byte per request may not.
    private const long Slack = Rounds / 2;

    public static TheoryData<string> Stores => ["null", "memory", "file", "direct", "threads"];

    [Theory]
    [MemberData(nameof(Stores))]
    public void Requests_InSteadyState_AllocateNothing(string kind)
    {
        using TestFile file = new(1 << 20);
        IBlockStore store = kind switch
        {
            "null" => new NullStore(1 << 20),
            "memory" => new MemoryStore(1 << 20),
            _ => new FileStore(new FileStoreOptions { Path = file.Path, Direct = kind == "direct" }),
        };
        int rounds = kind is "direct" or "threads" ? Rounds / 10 : Rounds;
        using BlockRig rig = new(store, ioUring: kind != "threads");
        GuestRange[][] chains =
        [
            [rig.Readable(BlockRig.Header(0, 8)), rig.Writable(4096, 4096), rig.Writable(1)],
            [rig.Readable(BlockRig.Header(1, 8)), rig.Readable(new byte[4096]), rig.Writable(1)],
            [rig.Readable(BlockRig.Header(1, 8)), rig.Readable(new byte[512]), rig.Writable(1)],
            [rig.Readable(BlockRig.Header(0, 8)), rig.Writable(4096, 512), rig.Writable(1)],
            [rig.Readable(BlockRig.Header(13, 0)), rig.Readable(BlockRig.Range(8, 8)), rig.Writable(1)],
            [rig.Readable(BlockRig.Header(8, 0)), rig.Writable(20), rig.Writable(1)],
        ];
        Run(rig, chains, 200);

        // The driver in this test allocates as well: what it takes is measured with nothing behind it.
        long before = GC.GetTotalAllocatedBytes(precise: true);
        long driverBefore = GC.GetAllocatedBytesForCurrentThread();
        Run(rig, chains, rounds);
        long driver = GC.GetAllocatedBytesForCurrentThread() - driverBefore;
        long all = GC.GetTotalAllocatedBytes(precise: true) - before;
        Assert.InRange(all - driver, 0, Math.Max(Slack, 4096));
    }

    private static void Run(BlockRig rig, GuestRange[][] chains, int rounds)
    {
        for (int i = 0; i < rounds; i++)
        {
            GuestRange[] chain = chains[i % chains.Length];
            rig.Memory.Span(chain[^1])[0] = BlockRig.Untouched;
            rig.Rig.Driver.Add(chain.AsSpan(), indirect: false);
            rig.Rig.Next();
            Assert.Equal(0, rig.Memory.Span(chain[^1])[0]);
        }
    }
}
