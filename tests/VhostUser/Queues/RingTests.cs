using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using Xunit;

namespace VhostUser.Tests.Queues;

/// <summary>What holds for every form of ring.</summary>
public class RingTests
{
    public static TheoryData<ulong> Forms => [0UL, VirtioFeatures.RingPacked];

    [Theory]
    [MemberData(nameof(Forms))]
    public void TryPop_NothingAvailable_IsEmpty(ulong form)
    {
        using RingRig rig = new(8, form);
        Assert.Equal(PopResult.Empty, rig.Pop());
        Assert.False(rig.Device.Publish());
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void TryPop_DirectChain_GivesBuffersInOrder(ulong form)
    {
        using RingRig rig = new(8, form);
        GuestRange[] buffers = [rig.Readable(16), rig.Readable(512), rig.Writable(4096), rig.Writable(1)];
        ushort id = rig.Driver.Add(buffers);

        Assert.Equal(PopResult.Chain, rig.Pop());
        Assert.Equal(buffers, rig.Chain.Ranges.ToArray());
        Assert.Equal(id, rig.Chain.Id);
        Assert.Equal(4, rig.Chain.Slots);
        Assert.Equal(1, rig.Device.InFlight);
        Assert.Equal(PopResult.Empty, rig.Pop());
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void TryPop_IndirectChain_TakesOneSlot(ulong form)
    {
        using RingRig rig = new(2, form | VirtioFeatures.IndirectDesc);
        GuestRange[] buffers = [.. Enumerable.Range(1, 100).Select(i => i < 60 ? rig.Readable(i) : rig.Writable(i))];
        rig.Driver.AddIndirect(buffers);

        Assert.Equal(PopResult.Chain, rig.Pop());
        Assert.Equal(buffers, rig.Chain.Ranges.ToArray());
        Assert.Equal(1, rig.Chain.Slots);
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void AddUsed_BeforePublish_IsNotVisible(ulong form)
    {
        using RingRig rig = new(4, form);
        ushort id = rig.Driver.Add(rig.Writable(64));
        rig.Serve(48);
        Assert.Empty(rig.Collect());

        Assert.True(rig.Device.Publish());
        Assert.Equal([new UsedBuffer(id, 48)], rig.Collect());
        Assert.Equal(0, rig.Device.InFlight);
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void Publish_Batch_ShowsAllInOrderOfCompletion(ulong form)
    {
        using RingRig rig = new(4, form);
        ushort first = rig.Driver.Add(rig.Writable(8));
        ushort second = rig.Driver.Add(rig.Readable(), rig.Writable(8));
        DescriptorChain a = new();
        DescriptorChain b = new();
        Assert.Equal(PopResult.Chain, rig.Device.TryPop(a));
        Assert.Equal(PopResult.Chain, rig.Device.TryPop(b));
        rig.Device.AddUsed(b, 2);
        rig.Device.AddUsed(a, 1);
        rig.Device.Publish();

        Assert.Equal([new UsedBuffer(second, 2), new UsedBuffer(first, 1)], rig.Collect());
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void AddUsed_InOrder_HoldsBackUntilItsTurn(ulong form)
    {
        using RingRig rig = new(4, form | VirtioFeatures.InOrder);
        for (int lap = 0; lap < 10; lap++)
        {
            ushort[] ids = [rig.Driver.Add(rig.Writable(8)), rig.Driver.Add(rig.Writable(8)), rig.Driver.Add(rig.Writable(8))];
            DescriptorChain[] chains = [new(), new(), new()];
            foreach (DescriptorChain chain in chains)
                Assert.Equal(PopResult.Chain, rig.Device.TryPop(chain));

            rig.Device.AddUsed(chains[2], 3);
            Assert.False(rig.Device.Publish());
            rig.Device.AddUsed(chains[0], 1);
            rig.Device.Publish();
            Assert.Equal([new UsedBuffer(ids[0], 1)], rig.Collect());
            rig.Device.AddUsed(chains[1], 2);
            rig.Device.Publish();
            Assert.Equal([new UsedBuffer(ids[1], 2), new UsedBuffer(ids[2], 3)], rig.Collect());
        }
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void Unpop_Chain_IsPoppedAgain(ulong form)
    {
        using RingRig rig = new(4, form);
        ushort id = rig.Driver.Add(rig.Readable(), rig.Writable());
        uint before = rig.Device.Base;
        Assert.Equal(PopResult.Chain, rig.Pop());
        rig.Device.Unpop(rig.Chain);
        Assert.Equal(before, rig.Device.Base);
        Assert.Equal(0, rig.Device.InFlight);

        rig.Serve();
        rig.Device.Publish();
        Assert.Equal([new UsedBuffer(id, 0)], rig.Collect());
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void Base_AfterRestart_GoesOnWhereItStopped(ulong form)
    {
        using RingRig rig = new(4, form);
        for (int i = 0; i < 23; i++)
        {
            ushort id = rig.Driver.Add(rig.Readable(), rig.Writable());
            rig.Serve(1);
            rig.Device.Publish();
            Assert.Equal([new UsedBuffer(id, 1)], rig.Collect());
            rig.Open(rig.Device.Base);
        }
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void TryPop_ZeroLengthBuffer_IsKept(ulong form)
    {
        using RingRig rig = new(4, form);
        GuestRange empty = new(rig.Memory.Allocate(16), 0, Writable: false);
        rig.Driver.Add(empty, rig.Writable());
        Assert.Equal(PopResult.Chain, rig.Pop());
        Assert.Equal(empty, rig.Chain.Ranges[0]);
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void TryPop_IndirectTableCrossingRegions_IsRead(ulong form)
    {
        using RingRig rig = new(4, form | VirtioFeatures.IndirectDesc);

        // The table's memory is taken from region 1 until its end, then region 2, its neighbour, is filled by hand.
        MemoryRegion second = rig.Memory.Regions[2];
        GuestAddress table = new(second.GuestAddress.Value - 32);
        GuestRange[] buffers = [rig.Readable(1), rig.Readable(2), rig.Writable(3), rig.Writable(4)];
        for (int i = 0; i < 4; i++)
            RawTable.Write(rig.Memory, new GuestAddress(table.Value + (ulong)(16 * i)), buffers[i], i, last: i == 3, rig.Driver.IsPacked);

        RawTable.Offer(rig.Driver, table, 64);
        Assert.Equal(PopResult.Chain, rig.Pop());
        Assert.Equal(buffers, rig.Chain.Ranges.ToArray());
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void TryPop_IndirectTableWithoutTranslation_WaitsForIt(ulong form)
    {
        using RingRig rig = new(4, form | VirtioFeatures.IndirectDesc);
        List<ulong> misses = [];
        Iotlb iotlb = new((iova, _) => misses.Add(iova));
        rig.Device.Iotlb = iotlb;
        GuestRange[] buffers = [rig.Readable(1), rig.Writable(3)];
        const ulong Iova = 0x7000_0000;
        GuestAddress table = rig.Memory.Allocate(64);
        for (int i = 0; i < 2; i++)
            RawTable.Write(rig.Memory, new GuestAddress(table.Value + (ulong)(16 * i)), buffers[i], i, last: i == 1, rig.Driver.IsPacked);

        RawTable.Offer(rig.Driver, new GuestAddress(Iova), 32);
        Assert.Equal(PopResult.Empty, rig.Pop());
        Assert.True(rig.Device.WaitsForTranslation);
        Assert.Equal([Iova], misses);
        Assert.Equal(0, rig.Device.InFlight);

        // Two translations, so that the table falls into two pieces.
        GuestAddress elsewhere = rig.Memory.Allocate(64);
        rig.Memory.Span(new GuestAddress(table.Value + 16), 16).CopyTo(rig.Memory.Span(elsewhere, 16));
        rig.Memory.Span(new GuestAddress(table.Value + 16), 16).Fill(0xff);
        iotlb.Update(Iova, 16, table, read: true, write: true);
        iotlb.Update(Iova + 16, 4080, elsewhere, read: true, write: true);
        Assert.Equal(PopResult.Chain, rig.Pop());
        Assert.False(rig.Device.WaitsForTranslation);
        Assert.Equal(buffers, rig.Chain.Ranges.ToArray());
    }
}
