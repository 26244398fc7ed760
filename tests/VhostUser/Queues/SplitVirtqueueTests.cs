using System.Runtime.InteropServices;
using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using Xunit;

namespace VhostUser.Tests.Queues;

public unsafe class SplitVirtqueueTests
{
    [Fact]
    public void AddUsed_Publish_GoldenBytes()
    {
        using RingRig rig = new(4);
        rig.Driver.Add(rig.Writable(0x123));
        ushort id = rig.Driver.Add(rig.Writable(0x123));
        rig.Serve(0x11);
        rig.Serve(0x122);
        rig.Device.Publish();

        Assert.Equal(1, id);
        byte[] expected = [0, 0, 2, 0, 0, 0, 0, 0, 0x11, 0, 0, 0, 1, 0, 0, 0, 0x22, 1, 0, 0];
        Assert.Equal(expected, rig.Memory.Span(rig.Driver.Device, 20).ToArray());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(48)]
    [InlineData(32769)]
    public void Create_ImpossibleSize_IsTheCallersMistake(int size)
        => Assert.Throws<ArgumentException>(() => Virtqueue.Create(new VirtqueueLayout { Size = size, Descriptors = null, Driver = null, Device = null }, 0, 0, null));

    [Fact]
    public void TryPop_FullRingOf32768_TakesAll()
    {
        using TestMemory memory = new((0UL, 4UL << 20));
        using RingRig rig = new(32768, memory: memory);
        GuestRange buffer = rig.Writable();
        for (int i = 0; i < 32768; i++)
            rig.Driver.Add(buffer);

        for (int i = 0; i < 32768; i++)
            rig.Serve(1);

        Assert.True(rig.Device.Publish());
        Assert.Equal(32768, rig.Collect().Count);
    }

    [Fact]
    public void Publish_NoInterruptFlag_DoesNotCall()
    {
        using RingRig rig = new(4);
        rig.Driver.SuppressInterrupts();
        rig.Driver.Add(rig.Writable());
        rig.Serve();
        Assert.False(rig.Device.Publish());
        rig.Driver.AllowInterrupts();
        rig.Driver.Add(rig.Writable());
        rig.Serve();
        Assert.True(rig.Device.Publish());
    }

    [Fact]
    public void Publish_FirstBatchUnderEventIndex_CallsWhateverTheEvent()
    {
        using RingRig rig = new(4, VirtioFeatures.EventIdx);
        rig.Driver.SuppressInterrupts();
        rig.Driver.Add(rig.Writable());
        rig.Serve();
        Assert.True(rig.Device.Publish());
    }

    /// <summary>Exhaustive around the wrap of the 16-bit index: the event counts when it lies in the batch just published.</summary>
    [Fact]
    public void Publish_EventIndex_CallsOnlyWhenTheEventIsReached()
    {
        using RingRig rig = new(8, VirtioFeatures.EventIdx);
        GuestRange buffer = rig.Writable();
        ushort index = 65520;
        rig.Split.UsedIndex = index;
        rig.Open(0);
        rig.Driver.Add(buffer);
        rig.Serve();
        rig.Device.Publish();
        index++;
        for (int batch = 1; batch <= 4; batch++)
        {
            for (int wanted = -6; wanted <= 6; wanted++)
            {
                rig.Split.UsedEvent = (ushort)(index + wanted);
                for (int i = 0; i < batch; i++)
                {
                    rig.Split.WriteDescriptor(i, buffer.Address, 16, 2);
                    rig.Split.Offer((ushort)i);
                    rig.Serve();
                }

                bool expected = wanted >= 0 && wanted < batch;
                Assert.Equal(expected, rig.Device.Publish());
                index += (ushort)batch;
            }
        }
    }

    [Fact]
    public void SuppressKicks_WithoutEventIndex_SetsTheFlag()
    {
        using RingRig rig = new(4);
        rig.Device.SuppressKicks();
        Assert.Equal(1, rig.Split.UsedFlags);
        rig.Driver.Add(rig.Readable());
        Assert.False(rig.Driver.NeedsKick());
        Assert.True(rig.Device.AllowKicks());
        Assert.Equal(0, rig.Split.UsedFlags);
        rig.Serve();
        Assert.False(rig.Device.AllowKicks());
        rig.Driver.Add(rig.Readable());
        Assert.True(rig.Driver.NeedsKick());
    }

    [Fact]
    public void AllowKicks_PredecessorHadSuppressed_ClearsTheFlag()
    {
        using RingRig rig = new(4);
        rig.Device.SuppressKicks();
        rig.Open(0);
        rig.Device.AllowKicks();
        Assert.Equal(0, rig.Split.UsedFlags);
    }

    [Fact]
    public void AllowKicks_EventIndex_AsksForTheNextChain()
    {
        using RingRig rig = new(4, VirtioFeatures.EventIdx);
        rig.Driver.Add(rig.Readable());
        Assert.True(rig.Device.AllowKicks());
        rig.Serve();
        Assert.False(rig.Device.AllowKicks());
        Assert.Equal(1, rig.Split.AvailEvent);
        rig.Device.SuppressKicks();
        Assert.False(rig.Driver.NeedsKick());
        rig.Driver.Add(rig.Readable());
        Assert.True(rig.Driver.NeedsKick());
        rig.Serve();
        rig.Driver.Add(rig.Readable());
        Assert.False(rig.Driver.NeedsKick());
    }

    [Fact]
    public void TryPop_DirectThenIndirect_TakesBoth()
    {
        using RingRig rig = new(4, VirtioFeatures.IndirectDesc);
        GuestRange[] buffers = [rig.Readable(5), rig.Readable(6), rig.Writable(7)];
        GuestAddress table = rig.Memory.Allocate(32);
        RawTable.Write(rig.Memory, table, buffers[1], 0, last: false, packed: false);
        RawTable.Write(rig.Memory, new GuestAddress(table.Value + 16), buffers[2], 1, last: true, packed: false);
        rig.Split.WriteDescriptor(0, buffers[0].Address, 5, 1, 3);

        // WRITE on the descriptor of a table is ignored (2.7.5.3.2).
        rig.Split.WriteDescriptor(3, table, 32, 4 | 2);
        rig.Split.Offer(0);
        Assert.Equal(PopResult.Chain, rig.Pop());
        Assert.Equal(buffers, rig.Chain.Ranges.ToArray());
        Assert.Equal(2, rig.Chain.Slots);
    }

    [Fact]
    public void Publish_Logging_MarksElementsAndIndexAtTheLogAddress()
    {
        using RingRig rig = new(8);
        using VhostXen.Linux.FileDescriptor file = VhostXen.Linux.MemFd.Create("log", 4096);
        using DirtyLog log = DirtyLog.Map(file, 0, 4096);
        using VhostXen.Linux.MappedMemory bits = VhostXen.Linux.MappedMemory.Map(file, 0, 4096);
        rig.Device.Log = log;

        // The index on page 16, element 0 on its last bytes, element 1 on page 17: an address that is in no region.
        rig.Device.LogAddress = new GuestAddress((17UL * 4096) - 12);
        rig.Driver.Add(rig.Writable());
        rig.Serve();
        rig.Device.Publish();
        Assert.Equal(1UL << 16, MemoryMarshal.Read<ulong>(bits.Span));
        bits.Span.Clear();
        rig.Driver.Add(rig.Writable());
        rig.Serve();
        rig.Device.Publish();
        Assert.Equal(3UL << 16, MemoryMarshal.Read<ulong>(bits.Span));

        bits.Span.Clear();
        rig.Device.LogAddress = new GuestAddress(63 * 4096);
        rig.Device.SuppressKicks();
        Assert.Equal(1UL << 63, MemoryMarshal.Read<ulong>(bits.Span));
    }

    [Fact]
    public void TryPop_MoreChainsThanEntriesWhileSomeAreOut_BreaksTheRing()
    {
        using RingRig rig = new(2);
        GuestRange buffer = rig.Readable();
        rig.Driver.Add(buffer);
        rig.Driver.Add(buffer);
        Assert.Equal(PopResult.Chain, rig.Pop());
        Assert.Equal(PopResult.Chain, rig.Device.TryPop(new DescriptorChain()));
        rig.Split.Offer(0);
        Assert.Equal(PopResult.Broken, rig.Device.TryPop(new DescriptorChain()));
        Assert.Contains("available index", rig.Device.BrokenCause);
    }
}
