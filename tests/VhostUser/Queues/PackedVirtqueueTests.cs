using System.Runtime.InteropServices;
using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using Xunit;

namespace VhostUser.Tests.Queues;

public class PackedVirtqueueTests
{
    private const ulong Packed = VirtioFeatures.RingPacked;

    [Fact]
    public void AddUsed_Publish_GoldenBytes()
    {
        using RingRig rig = new(4, Packed);
        rig.Packed.WriteNext(new GuestAddress(0x1122334455667788), 0x1000, 1, 0xdead);
        rig.Packed.WriteNext(new GuestAddress(0x1000), 0x200, 2, 0xbeef);
        byte[] available = [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0, 0x10, 0, 0, 0xad, 0xde, 0x81, 0];
        Assert.Equal(available, rig.Memory.Span(rig.Driver.Descriptors, 16).ToArray());
        Assert.Equal(PopResult.Chain, rig.Pop());
        Assert.Equal(0xbeef, rig.Chain.Id);
        Assert.Equal(0x8000_8002u, rig.Device.Base);

        // Before it is published the head's flags are the driver's still.
        rig.Device.AddUsed(rig.Chain, 0x1ff);
        byte[] written = [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xff, 1, 0, 0, 0xef, 0xbe, 0x81, 0];
        Assert.Equal(written, rig.Memory.Span(rig.Driver.Descriptors, 16).ToArray());

        // AVAIL and USED as the wrap counter (1), WRITE because something was written.
        rig.Device.Publish();
        byte[] used = [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xff, 1, 0, 0, 0xef, 0xbe, 0x82, 0x80];
        Assert.Equal(used, rig.Memory.Span(rig.Driver.Descriptors, 16).ToArray());
        Assert.Equal(0x8002_8002u, rig.Device.Base);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(100)]
    public void Ring_OfAnySize_WrapsForManyLaps(int size)
    {
        using RingRig rig = new(size, Packed);
        GuestRange[] buffers = [rig.Readable(), rig.Writable(), rig.Writable()];
        for (int i = 0; i < (20 * size) + 3; i++)
        {
            List<UsedBuffer> expected = [];
            while (rig.Driver.CanAdd(Math.Min(size, 3)))
                expected.Add(new UsedBuffer(rig.Driver.Add(buffers.AsSpan(0, 1 + (expected.Count % Math.Min(size, 3)))), (uint)(expected.Count % Math.Min(size, 3))));

            foreach (UsedBuffer used in expected)
                rig.Serve(used.Written);

            Assert.Equal(PopResult.Empty, rig.Pop());
            rig.Device.Publish();
            Assert.Equal(expected, rig.Collect());
            Assert.Equal(rig.Device.Base & 0xffff, rig.Device.Base >> 16);
        }
    }

    [Fact]
    public void TryPop_FullRingOf32768_TakesAll()
    {
        using TestMemory memory = new((0UL, 4UL << 20));
        using RingRig rig = new(32768, Packed, memory: memory);
        GuestRange buffer = rig.Writable();
        for (int lap = 0; lap < 2; lap++)
        {
            for (int i = 0; i < 32768; i++)
                rig.Driver.Add(buffer);

            for (int i = 0; i < 32768; i++)
                rig.Serve(1);

            Assert.Equal(PopResult.Empty, rig.Pop());
            Assert.True(rig.Device.Publish());
            Assert.Equal(32768, rig.Collect().Count);
        }

        Assert.Equal(0x8000_8000u, rig.Device.Base);
    }

    [Theory]
    [InlineData(0x8005_8005u, 0x8005_8005u)]
    [InlineData(0x0000_0003u, 0x0003_0003u)]
    [InlineData(0x0000_8003u, 0x8003_8003u)]
    [InlineData(0x8006_0002u, 0x8006_0002u)]
    public void Create_Base_IsTakenApart(uint sent, uint kept)
    {
        using RingRig rig = new(8, Packed, sent);
        Assert.Null(rig.Device.BrokenCause);
        Assert.Equal(kept, rig.Device.Base);
    }

    [Theory]
    [InlineData(0x8008_8008u)]
    [InlineData(0x8007_8006u)]
    [InlineData(0x0000_8008u)]
    [InlineData(0x8001_0002u)]
    [InlineData(0xffff_ffffu)]
    public void Create_ImpossibleBase_IsBroken(uint sent)
    {
        using RingRig rig = new(8, Packed, sent);
        Assert.Contains("base", rig.Device.BrokenCause);
        Assert.Equal(PopResult.Broken, rig.Pop());
    }

    [Fact]
    public void TryPop_BufferIdsAllAlike_AreEchoed()
    {
        using RingRig rig = new(4, Packed);
        GuestRange buffer = rig.Writable();
        DescriptorChain[] chains = [new(), new(), new(), new()];
        foreach (DescriptorChain chain in chains)
        {
            rig.Packed.WriteNext(buffer.Address, 16, 2, 0xffff);
            Assert.Equal(PopResult.Chain, rig.Device.TryPop(chain));
        }

        foreach (DescriptorChain chain in chains)
            rig.Device.AddUsed(chain, 1);

        rig.Device.Publish();
        Assert.Null(rig.Device.BrokenCause);
    }

    [Fact]
    public void TryPop_SecondLapWhileTheFirstIsOut_BreaksTheRing()
    {
        using RingRig rig = new(3, Packed);
        GuestRange buffer = rig.Readable();
        for (int i = 0; i < 4; i++)
        {
            rig.Packed.WriteNext(buffer.Address, 16, 0, 1);
            Assert.Equal(i < 3 ? PopResult.Chain : PopResult.Broken, rig.Device.TryPop(new DescriptorChain()));
        }
    }

    [Fact]
    public void TryPop_IndirectFlagInsideTable_IsIgnored()
    {
        using RingRig rig = new(4, Packed | VirtioFeatures.IndirectDesc);
        GuestRange buffer = rig.Readable(48);
        GuestAddress table = rig.Memory.Allocate(16);
        RawTable.Write(rig.Memory, table, buffer, 0, last: true, packed: true);
        rig.Memory.Span(table, 16)[14] = 4 | 1;
        RawTable.Offer(rig.Driver, table, 16);
        Assert.Equal(PopResult.Chain, rig.Pop());
        Assert.Equal([buffer], rig.Chain.Ranges.ToArray());
    }

    /// <summary>Every position and wrap counter the driver can wait for, against a model that counts positions without end.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(5)]
    public void Publish_DescriptorEvent_CallsOnlyWhenItIsReached(int size)
    {
        for (int from = 0; from < 2 * size; from++)
        {
            for (int batch = 1; batch <= size; batch++)
            {
                for (int wanted = 0; wanted < 2 * size; wanted++)
                {
                    uint start = (uint)((from % size) | (from / size % 2 == 0 ? 0x8000 : 0));
                    bool expected = Enumerable.Range(from, batch).Any(position => position % (2 * size) == wanted);
                    uint wish = (2u << 16) | (uint)((wanted % size) | (wanted < size ? 0x8000 : 0));
                    Assert.Equal(expected, PublishAt(size, start | (start << 16), batch, wish));
                }
            }
        }
    }

    [Theory]
    [InlineData(0u << 16, true)]
    [InlineData(1u << 16, false)]
    [InlineData((2u << 16) | 0x7fff, false)]
    [InlineData((2u << 16) | 0xffff, false)]
    [InlineData(3u << 16, true)]
    public void Publish_EventFlags_DecideTheCall(uint wish, bool expected) => Assert.Equal(expected, PublishAt(4, 0x8000_8000, 1, wish));

    [Fact]
    public void AllowKicks_EventIndex_NamesPositionAndWrap()
    {
        using RingRig rig = new(3, Packed | VirtioFeatures.EventIdx);
        rig.Device.SuppressKicks();
        Assert.Equal(1u << 16, rig.Packed.DeviceEvent);
        Assert.False(rig.Device.AllowKicks());
        Assert.Equal(0x0002_8000u, rig.Packed.DeviceEvent);
        rig.Driver.Add(rig.Readable(), rig.Readable());
        Assert.True(rig.Driver.NeedsKick());
        Assert.True(rig.Device.AllowKicks());
        rig.Serve();
        rig.Device.Publish();
        rig.Collect();
        rig.Driver.Add(rig.Readable());
        rig.Serve();
        Assert.False(rig.Device.AllowKicks());
        Assert.Equal(0x0002_0000u, rig.Packed.DeviceEvent);
        Assert.False(rig.Driver.NeedsKick());
        rig.Device.SuppressKicks();
        rig.Driver.Add(rig.Readable());
        Assert.False(rig.Driver.NeedsKick());
    }

    [Fact]
    public void AllowKicks_WithoutEventIndex_EnablesAll()
    {
        using RingRig rig = new(4, Packed);
        rig.Device.SuppressKicks();
        rig.Driver.Add(rig.Readable());
        Assert.False(rig.Driver.NeedsKick());
        Assert.True(rig.Device.AllowKicks());
        Assert.Equal(0u, rig.Packed.DeviceEvent);
        rig.Driver.Add(rig.Readable());
        Assert.True(rig.Driver.NeedsKick());
    }

    [Fact]
    public void Publish_Logging_MarksTheDescriptorsItWrote()
    {
        using TestMemory memory = new((0UL, 4UL << 20));
        using RingRig rig = new(512, Packed, 0x81ff_81ff, memory);
        using VhostXen.Linux.FileDescriptor file = VhostXen.Linux.MemFd.Create("log", 4096);
        using DirtyLog log = DirtyLog.Map(file, 0, 4096);
        using VhostXen.Linux.MappedMemory bits = VhostXen.Linux.MappedMemory.Map(file, 0, 4096);
        rig.Device.Log = log;
        rig.Device.LogAddress = new GuestAddress(8 * 4096);
        byte[] entry = new byte[16];
        entry[14] = 0x80;
        entry.CopyTo(rig.Memory.Span(new GuestAddress(rig.Driver.Descriptors.Value + (511 * 16)), 16));
        entry[15] = 0x80;
        entry[14] = 0;
        entry.CopyTo(rig.Memory.Span(rig.Driver.Descriptors, 16));
        rig.Serve();
        rig.Serve();
        Assert.Equal(0UL, MemoryMarshal.Read<ulong>(bits.Span));
        rig.Device.Publish();
        Assert.Equal((1UL << 8) | (1UL << 9), MemoryMarshal.Read<ulong>(bits.Span));
    }

    /// <summary>QEMU sends the event structure's address as the used ring's: the descriptors are logged where they are.</summary>
    [Fact]
    public unsafe void Publish_LoggingWithTheRingsAddressKnown_MarksTheRing()
    {
        using RingRig rig = new(4, Packed);
        using VhostXen.Linux.FileDescriptor file = VhostXen.Linux.MemFd.Create("log", 4096);
        using DirtyLog log = DirtyLog.Map(file, 0, 4096);
        using VhostXen.Linux.MappedMemory bits = VhostXen.Linux.MappedMemory.Map(file, 0, 4096);
        VirtqueueLayout layout = rig.Layout with
        {
            LogAddress = new GuestAddress(20 * 4096),
            DescriptorsAddress = new GuestAddress(5 * 4096),
            DeviceAddress = new GuestAddress(20 * 4096),
        };
        Virtqueue device = Virtqueue.Create(layout, Packed, rig.Driver.InitialBase, null);
        device.Log = log;
        rig.Driver.Add(rig.Writable());
        Assert.Equal(PopResult.Chain, device.TryPop(rig.Chain));
        device.AddUsed(rig.Chain, 1);
        device.Publish();
        Assert.Equal(1UL << 5, MemoryMarshal.Read<ulong>(bits.Span));
        device.SuppressKicks();
        Assert.Equal((1UL << 5) | (1UL << 20), MemoryMarshal.Read<ulong>(bits.Span));
        Assert.Equal(0x8001_8001u, device.Base);
    }

    /// <summary>Publishes a batch at a position, not as the first one, and says whether the device calls.</summary>
    private static bool PublishAt(int size, uint start, int batch, uint wish)
    {
        ulong features = Packed | VirtioFeatures.EventIdx;
        using RingRig rig = new(size, features, Before(start, size));
        Span<byte> ring = rig.Memory.Span(rig.Driver.Descriptors, 16 * size);
        ring.Clear();
        int position = (int)(Before(start, size) & 0x7fff);
        bool wrap = (Before(start, size) & 0x8000) != 0;
        rig.Packed.DriverEvent = 1 << 16;
        Serve(rig, ring, ref position, ref wrap);
        rig.Device.Publish();
        rig.Packed.DriverEvent = wish;
        for (int i = 0; i < batch; i++)
            Serve(rig, ring, ref position, ref wrap);

        return rig.Device.Publish();
    }

    private static uint Before(uint start, int size)
    {
        uint one = start & 0xffff;
        one = (one & 0x7fff) != 0 ? one - 1 : (uint)(size - 1) | (~one & 0x8000);
        return one | (one << 16);
    }

    private static void Serve(RingRig rig, Span<byte> ring, ref int position, ref bool wrap)
    {
        MemoryMarshal.Write(ring[((16 * position) + 14)..], (ushort)(wrap ? 0x80 : 0x8000));
        rig.Serve();
        if (++position == ring.Length / 16)
        {
            position = 0;
            wrap = !wrap;
        }
    }
}
