using System.Runtime.InteropServices;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using Xunit;

namespace VhostUser.Tests.Queues;

public unsafe class InflightTests
{
    public static TheoryData<ulong> Forms => RingTests.Forms;

    [Theory]
    [InlineData(false, 1, 64)]
    [InlineData(false, 3, 64)]
    [InlineData(false, 4, 128)]
    [InlineData(false, 128, 2112)]
    [InlineData(false, 32768, 524352)]
    [InlineData(true, 1, 64)]
    [InlineData(true, 2, 128)]
    [InlineData(true, 128, 4160)]
    [InlineData(true, 32768, 1048640)]
    public void Stride_IsRoundedUpTo64(bool packed, int size, ulong expected)
    {
        Assert.Equal(expected, InflightLayout.Stride(packed, size));
        Assert.Equal(expected * 3, InflightLayout.Sizes(packed, 3, size));
    }

    [Theory]
    [InlineData(0, 128)]
    [InlineData(1, 0)]
    [InlineData(-1, 128)]
    [InlineData(65536, 128)]
    [InlineData(1, 32769)]
    [InlineData(1, 65535)]
    public void Sizes_ImpossibleNumbers_AreZero(int queues, int size) => Assert.Equal(0UL, InflightLayout.Sizes(packed: true, queues, size));

    [Fact]
    public void Split_GoldenBytes()
    {
        using RingRig rig = new(2);
        using GuardedBytes bytes = new(16 + (2 * 16));
        rig.Open(0, Region(bytes));
        byte[] fresh = new byte[48];
        fresh[8] = 1;
        fresh[10] = 2;
        Assert.Equal(fresh, bytes.Span.ToArray());

        rig.Driver.Add(rig.Writable());
        rig.Driver.Add(rig.Writable());
        DescriptorChain first = new();
        Assert.Equal(PopResult.Chain, rig.Device.TryPop(first));
        Assert.Equal(PopResult.Chain, rig.Pop());
        byte[] popped =
        [
            0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
        ];
        Assert.Equal(popped, bytes.Span.ToArray());

        rig.Device.AddUsed(rig.Chain, 0);
        rig.Device.Publish();
        byte[] used =
        [
            0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 0, 1, 0,
            1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
        ];
        Assert.Equal(used, bytes.Span.ToArray());
    }

    [Fact]
    public void Packed_GoldenBytes()
    {
        using RingRig rig = new(3, VirtioFeatures.RingPacked);
        using GuardedBytes bytes = new(32 + (3 * 32));
        rig.Open(0x8000_8000, Region(bytes));
        byte[] fresh = new byte[128];
        fresh[8] = 1;
        fresh[10] = 3;
        fresh[20] = 1;
        fresh[21] = 1;
        fresh[32 + 2] = 1;
        fresh[64 + 2] = 2;
        fresh[96 + 2] = 3;
        Assert.Equal(fresh, bytes.Span.ToArray());

        rig.Packed.WriteNext(new GuestAddress(0x1122334455667788), 0x99aabbcc, 1, 0xdead);
        rig.Packed.WriteNext(new GuestAddress(0x1000), 0x10, 2, 0xbeef);
        Assert.Equal(PopResult.Chain, rig.Pop());
        byte[] popped =
        [
            0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3, 0, 2, 0, 2, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 1, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xad, 0xde, 0x81, 0, 0xcc, 0xbb, 0xaa, 0x99, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
            0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xef, 0xbe, 0x82, 0, 0x10, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0,
            0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        Assert.Equal(popped, bytes.Span.ToArray());

        rig.Device.AddUsed(rig.Chain, 0);
        rig.Device.Publish();
        popped[12] = popped[14] = 0;
        popped[16] = popped[18] = 2;
        popped[32] = 0;
        Assert.Equal(popped, bytes.Span.ToArray());
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void TryPop_AfterRestart_GivesThePredecessorsChainsFirst(ulong form)
    {
        using RingRig rig = new(8, form | VirtioFeatures.IndirectDesc);
        using GuardedBytes bytes = new((int)InflightLayout.Bytes(rig.Driver.IsPacked, 8));
        rig.Open(rig.Driver.InitialBase, Region(bytes));
        GuestRange[] direct = [rig.Readable(3), rig.Writable(4)];
        GuestRange[] indirect = [rig.Readable(5), rig.Writable(6), rig.Writable(7)];
        ushort first = rig.Driver.Add(direct);
        ushort second = rig.Driver.Add(rig.Writable());
        ushort third = rig.Driver.AddIndirect(indirect);
        ushort fourth = rig.Driver.Add(rig.Readable());
        DescriptorChain[] chains = [new(), new(), new()];
        foreach (DescriptorChain chain in chains)
            Assert.Equal(PopResult.Chain, rig.Device.TryPop(chain));

        rig.Device.AddUsed(chains[1], 1);
        rig.Device.Publish();
        rig.Open(0x1234, Region(bytes));

        Assert.Equal(PopResult.Chain, rig.Pop());
        Assert.True(rig.Chain.Resubmitted);
        Assert.Equal(direct, rig.Chain.Ranges.ToArray());
        Assert.Equal(first, rig.Chain.Id);
        rig.Device.Unpop(rig.Chain);
        Assert.Equal(PopResult.Chain, rig.Device.TryPop(chains[0]));
        Assert.Equal(first, chains[0].Id);
        Assert.Equal(PopResult.Chain, rig.Device.TryPop(chains[1]));
        Assert.True(chains[1].Resubmitted);
        Assert.Equal(indirect, chains[1].Ranges.ToArray());
        Assert.Equal(third, chains[1].Id);
        Assert.Equal(PopResult.Chain, rig.Device.TryPop(chains[2]));
        Assert.False(chains[2].Resubmitted);
        Assert.Equal(fourth, chains[2].Id);
        Assert.Equal(3, rig.Device.InFlight);
        foreach (DescriptorChain chain in chains)
            rig.Device.AddUsed(chain, 0);

        rig.Device.Publish();
        Assert.Equal([second, first, third, fourth], rig.Collect().Select(static used => used.Id));
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void Create_RegionOfAnotherVersion_IsBroken(ulong form)
    {
        using RingRig rig = new(4, form);
        using GuardedBytes bytes = new((int)InflightLayout.Bytes(rig.Driver.IsPacked, 4));
        bytes.Span[8] = 2;
        bytes.Span[10] = 4;
        rig.Open(rig.Driver.InitialBase, Region(bytes));
        Assert.Contains("version 2", rig.Device.BrokenCause);
        Assert.Equal(PopResult.Broken, rig.Pop());
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void Create_RegionTooShort_IsTheCallersMistake(ulong form)
    {
        using RingRig rig = new(4, form);
        using GuardedBytes bytes = new((int)InflightLayout.Bytes(rig.Driver.IsPacked, 4) - 1);
        Assert.Throws<ArgumentException>(() => rig.Open(rig.Driver.InitialBase, Region(bytes)));
    }

    /// <summary>The front-end can write anything into the region: it costs its own ring, never a step outside or an exception.</summary>
    [Theory]
    [MemberData(nameof(Forms))]
    public void Create_AnyBytesInTheRegion_StayInBounds(ulong form)
    {
        using RingRig rig = new(8, form | VirtioFeatures.IndirectDesc);
        using GuardedBytes bytes = new((int)InflightLayout.Bytes(rig.Driver.IsPacked, 8));
        int usable = 0;
        int broken = 0;
        for (int seed = 0; seed < 4000; seed++)
        {
            Random random = new(seed);
            Scramble(random, bytes.Span, rig.Driver.IsPacked);
            random.NextBytes(rig.Memory.Span(rig.Driver.Descriptors, 128));
            rig.Open((uint)random.Next(), Region(bytes));
            List<DescriptorChain> popped = [];
            PopResult result;
            DescriptorChain chain = new();
            while ((result = rig.Device.TryPop(chain)) == PopResult.Chain)
            {
                Assert.InRange(chain.Slots, 1, 8);
                popped.Add(chain);
                Assert.InRange(popped.Count, 1, 8);
                chain = new DescriptorChain();
            }

            foreach (DescriptorChain done in popped)
                rig.Device.AddUsed(done, 1);

            rig.Device.Publish();
            usable += popped.Count;
            broken += result == PopResult.Broken ? 1 : 0;
        }

        // Both sides of the checks were seen.
        Assert.True(usable > 100 && broken > 100, $"{usable} chains, {broken} broken");
    }

    /// <summary>Bytes that pass for a region at a first glance.</summary>
    private static void Scramble(Random random, Span<byte> bytes, bool packed)
    {
        random.NextBytes(bytes);
        MemoryMarshal.Write(bytes[8..], (ushort)1);
        MemoryMarshal.Write(bytes[10..], (ushort)8);
        int entry = packed ? 32 : 16;
        for (int at = packed ? 12 : 12; at < entry - (packed ? 12 : 0); at += 2)
            MemoryMarshal.Write(bytes[at..], (ushort)random.Next(10));

        for (int at = entry; at < bytes.Length; at += entry)
        {
            bytes[at] = (byte)random.Next(2);
            for (int field = 2; field < 8; field += 2)
                MemoryMarshal.Write(bytes[(at + field)..], (ushort)random.Next(field == 6 ? 3 : 10));

            // Mostly plain buffers, so that some chains are popped.
            if (packed)
                MemoryMarshal.Write(bytes[(at + 18)..], (ushort)(random.Next(4) == 0 ? random.Next(65536) : 2));
        }
    }

    private static InflightQueueRegion Region(GuardedBytes bytes) => new((nint)bytes.Pointer, (ulong)bytes.Length);
}
