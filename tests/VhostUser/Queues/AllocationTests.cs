using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using Xunit;

namespace VhostUser.Tests.Queues;

/// <summary>The data path of a ring allocates nothing once its objects have grown to the longest chain.</summary>
public unsafe class AllocationTests
{
    private const int Batch = 8;

    public static TheoryData<ulong, bool> Rings()
    {
        TheoryData<ulong, bool> rings = [];
        foreach (ulong form in (ReadOnlySpan<ulong>)[0, VirtioFeatures.RingPacked])
        {
            foreach (ulong more in (ReadOnlySpan<ulong>)[0, VirtioFeatures.EventIdx, VirtioFeatures.InOrder])
            {
                rings.Add(form | more | VirtioFeatures.IndirectDesc, false);
                rings.Add(form | more | VirtioFeatures.IndirectDesc, true);
            }
        }

        return rings;
    }

    [Theory]
    [MemberData(nameof(Rings))]
    public void Ring_SteadyState_AllocatesNothing(ulong features, bool inflight)
    {
        using RingRig rig = new(64, features);
        using GuardedBytes region = new((int)InflightLayout.Bytes(rig.Driver.IsPacked, 64));
        if (inflight)
            rig.Open(rig.Driver.InitialBase, new InflightQueueRegion((nint)region.Pointer, (ulong)region.Length));

        GuestRange[] direct = [rig.Readable(16), rig.Readable(512), rig.Writable(1)];
        GuestRange[] indirect = [.. Enumerable.Range(0, 40).Select(_ => rig.Writable(64))];
        DescriptorChain[] chains = [.. Enumerable.Range(0, Batch).Select(static _ => new DescriptorChain())];
        IovecList readable = new(64);
        IovecList writable = new(64);
        long allocated = 0;
        for (int round = 0; round < 600; round++)
        {
            for (int i = 0; i < Batch; i++)
                rig.Driver.Add(i % 2 == 0 ? direct : indirect, indirect: i % 2 != 0);

            long before = GC.GetAllocatedBytesForCurrentThread();
            bool served = Serve(rig, chains, readable, writable);
            long now = GC.GetAllocatedBytesForCurrentThread() - before;
            allocated += round < 100 ? 0 : now;
            Assert.True(served);
            Assert.Equal(Batch, rig.Collect().Count);
        }

        Assert.Equal(0, allocated);
    }

    private static bool Serve(RingRig rig, DescriptorChain[] chains, IovecList readable, IovecList writable)
    {
        Virtqueue queue = rig.Device;
        queue.SuppressKicks();
        foreach (DescriptorChain chain in chains)
        {
            if (queue.TryPop(chain) != PopResult.Chain)
                return false;

            readable.Clear();
            writable.Clear();
            if (rig.Map.Resolve(chain.Ranges, readable, writable, out _, out _) != ResolveResult.Ok)
                return false;
        }

        // In an order of its own, so that IN_ORDER has to hold some back.
        for (int i = chains.Length - 1; i >= 0; i--)
            queue.AddUsed(chains[i], 1);

        queue.Publish();
        return !queue.AllowKicks();
    }
}
