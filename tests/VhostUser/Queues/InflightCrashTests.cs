using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Queues;

/// <summary>
/// Ends the "process" after every single store into ring and in-flight region, lets a successor recover, ends that
/// one too, and checks that no request is lost, none that the driver has back is done again, and the rest of
/// the ring's life is unharmed.
/// </summary>
public class InflightCrashTests
{
    private const int Size = 4;

    public static TheoryData<ulong, int> Runs()
    {
        TheoryData<ulong, int> runs = [];
        foreach (ulong form in (ReadOnlySpan<ulong>)[0, VirtioFeatures.InOrder, VirtioFeatures.RingPacked, VirtioFeatures.RingPacked | VirtioFeatures.InOrder])
        {
            for (int seed = 1; seed <= 8; seed++)
                runs.Add(form | VirtioFeatures.IndirectDesc, seed);
        }

        return runs;
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void Recover_KilledAfterAnyStore_LosesAndRepeatsNothing(ulong features, int seed)
    {
        int crash = 0;
        while (RunOnce(features, seed, crash, secondCrash: int.MaxValue, out int later))
        {
            for (int second = 0; second < later; second += 5)
                RunOnce(features, seed, crash, second, out _);

            crash++;
        }

        // The run is long enough to mean something.
        Assert.True(crash > 40, $"only {crash} stores");
    }

    /// <returns>False when the run ended before its crash.</returns>
    private static bool RunOnce(ulong features, int seed, int crash, int secondCrash, out int later)
    {
        Process process = new();
        using RingRig rig = new(Size, features, memory: new TestMemory((0UL, 64UL << 10)));
        using MappedMemory shared = MappedMemory.Anonymous(4096);
        InflightQueueRegion region = process.Region(shared);
        List<ushort> order = [];
        bool crashed = process.Live(crash, () =>
        {
            rig.Open(rig.Driver.InitialBase, region);
            Work(rig, new Random(seed), order);
        });
        later = 0;
        if (!crashed)
            return false;

        // The driver takes what it can see; a stale base is what a front-end has after a crash.
        rig.Collect();
        int stores = process.Stores;
        bool again = process.Live(secondCrash, () => Drain(rig, region, order));
        later = process.Stores - stores;
        if (again)
        {
            rig.Collect();
            Drain(rig, region, order);
        }

        Assert.Equal(0, rig.Driver.Outstanding);
        for (int i = 0; i < 3 * Size; i++)
        {
            ushort id = rig.Driver.Add(rig.Driver.IsPacked ? [Buffer(0), Buffer(16)] : [Buffer(0)]);
            rig.Serve(3);
            rig.Device.Publish();
            Assert.Equal([new UsedBuffer(id, 3)], rig.Collect());
        }

        return true;
    }

    private static void Drain(RingRig rig, InflightQueueRegion region, List<ushort> order)
    {
        rig.Open(rig.Driver.InitialBase, region);
        Assert.Null(rig.Device.BrokenCause);
        List<DescriptorChain> popped = [];
        int last = -1;
        while (true)
        {
            DescriptorChain chain = new();
            if (rig.Device.TryPop(chain) == PopResult.Empty)
                break;

            Assert.Null(rig.Device.BrokenCause);
            Assert.True(rig.Driver.IsOutstanding(chain.Id), $"chain {chain.Id} was given back and is done again");
            Assert.Equal(1 + (int)(chain.Ranges[0].Address.Value & 1), chain.Count);
            if (chain.Resubmitted)
            {
                int place = order.LastIndexOf(chain.Id);
                Assert.True(place > last, "out of the order in which they came");
                last = place;
            }

            popped.Add(chain);
        }

        // The youngest first, in two batches.
        popped.Reverse();
        for (int i = 0; i < popped.Count; i++)
        {
            rig.Device.AddUsed(popped[i], 1);
            if (i == 1)
                rig.Device.Publish();
        }

        rig.Device.Publish();
        rig.Collect();
    }

    /// <summary>A legal life of both sides, drawn at random and the same for each seed.</summary>
    private static void Work(RingRig rig, Random random, List<ushort> order)
    {
        List<DescriptorChain> popped = [];
        for (int step = 0; step < 100; step++)
        {
            switch (random.Next(8))
            {
                case 0 or 1 or 2:
                    int buffers = random.Next(1, 3);
                    bool indirect = random.Next(3) == 0;
                    GuestRange[] chain = buffers == 1 ? [Buffer(0)] : [Buffer(1), Buffer(16)];
                    if (rig.Driver.CanAdd(indirect ? 1 : buffers))
                        order.Add(rig.Driver.Add(chain, indirect));

                    break;
                case 3 or 4:
                    DescriptorChain next = new();
                    if (rig.Device.TryPop(next) == PopResult.Chain)
                    {
                        if (random.Next(6) == 0)
                        {
                            rig.Device.Unpop(next);
                            break;
                        }

                        popped.Add(next);
                    }

                    break;
                case 5 or 6:
                    if (popped.Count != 0)
                    {
                        int which = random.Next(popped.Count);
                        rig.Device.AddUsed(popped[which], 1);
                        popped.RemoveAt(which);
                    }

                    break;
                default:
                    rig.Device.Publish();
                    if (random.Next(2) == 0)
                        rig.Collect();

                    break;
            }
        }
    }

    // Odd addresses mark chains of two.
    private static GuestRange Buffer(ulong offset) => new(new GuestAddress(0xe000 + offset), 16, Writable: true);

    /// <summary>Counts stores and ends the life of the "process" after one of them.</summary>
    private sealed class Process
    {
        private int _left = int.MaxValue;

        public int Stores { get; private set; }

        public InflightQueueRegion Region(MappedMemory shared)
        {
            nint pointer = shared.DangerousGetHandle();
            return new InflightQueueRegion(pointer, (ulong)shared.Length) { StoreObserver = Count };
        }

        public bool Live(int stores, Action life)
        {
            _left = stores;
            try
            {
                life();
                return false;
            }
            catch (KilledException)
            {
                return true;
            }
            finally
            {
                _left = int.MaxValue;
            }
        }

        private void Count()
        {
            Stores++;
            if (_left-- == 0)
                throw new KilledException();
        }
    }

    private sealed class KilledException : Exception;
}
