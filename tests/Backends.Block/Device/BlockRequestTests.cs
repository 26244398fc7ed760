using Backends.Block.Device;
using Backends.Block.Stores;
using Backends.Block.Tests.Stores;
using TestKit;
using VhostUser.Memory;
using static VhostXen.Linux.LibC;

namespace Backends.Block.Tests.Device;

public sealed class BlockRequestTests
{
    private const byte Ok = 0;
    private const byte IoError = 1;
    private const byte Unsupported = 2;
    private const ulong Sectors = 2048;
    private static readonly byte[] Data = TestFile.Pattern(8192, 5);

    [Fact]
    public void WriteThenRead_UsualShape_KeepsEveryByte()
    {
        using BlockRig rig = Open();
        Assert.Equal(Ok, rig.Out(BlockRequestType.Out, 3, Data));
        Assert.Equal(1u, rig.Written);
        Assert.Equal(Ok, rig.In(BlockRequestType.In, 3, Data.Length, out byte[] read));
        Assert.Equal(Data, read);
        Assert.Equal((uint)Data.Length + 1, rig.Written);
    }

    [Fact]
    public void Layout_EverythingInOneBufferEachWay_Works()
    {
        using BlockRig rig = Open();
        Assert.Equal(Ok, rig.Run(rig.Readable([.. BlockRig.Header(1, 0), .. Data]), rig.Writable(1)));
        GuestRange both = rig.Writable(Data.Length + 1);
        Assert.Equal(Ok, rig.Run(rig.Readable(BlockRig.Header(0, 0)), both));
        Assert.Equal(Data, rig.Memory.Span(both)[..^1].ToArray());
    }

    [Fact]
    public void Layout_HeaderDataAndStatusCutAnywhere_Works()
    {
        using BlockRig rig = Open();
        byte[] all = [.. BlockRig.Header(1, 0), .. Data];
        Random random = new(1);
        for (int round = 0; round < 20; round++)
        {
            List<GuestRange> chain = [];
            int at = 0;
            while (at < all.Length)
            {
                int part = Math.Min(all.Length - at, at < 20 ? random.Next(0, 7) : random.Next(1, 3000));
                chain.Add(rig.Readable(all.AsSpan(at, part)));
                at += part;
            }

            chain.Add(rig.Writable(1));
            chain.Add(rig.Writable(0));
            Assert.Equal(Ok, rig.Run([.. chain]));
        }

        GuestRange[] pieces = [rig.Writable(511), rig.Writable(1), rig.Writable(0), rig.Writable(513)];
        Assert.Equal(Ok, rig.Run([rig.Readable(BlockRig.Header(0, 0)), .. pieces]));
        Assert.Equal(Data.AsSpan(0, 1024).ToArray(), pieces.SelectMany(piece => rig.Memory.Span(piece).ToArray()).Take(1024).ToArray());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(15)]
    public void Header_TooShort_IsAnError(int length)
    {
        using BlockRig rig = Open();
        Assert.Equal(IoError, rig.Run(rig.Readable(BlockRig.Header(0, 0).AsSpan(0, length)), rig.Writable(513)));
        AssertAlive(rig);
    }

    [Fact]
    public void Status_NoPlaceForIt_ChainComesBackUnused()
    {
        using BlockRig rig = Open();
        Assert.Equal(BlockRig.Untouched, rig.Run(rig.Readable(BlockRig.Header(1, 0)), rig.Readable(Data)));
        Assert.Equal(0u, rig.Written);
        Assert.Equal(BlockRig.Untouched, rig.Run(rig.Readable(BlockRig.Header(1, 0)), rig.Readable(Data), rig.Writable(0)));
        AssertAlive(rig);
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(0, 1)]
    [InlineData(0, 511)]
    [InlineData(0, 513)]
    [InlineData(Sectors, 512)]
    [InlineData(Sectors - 1, 1024)]
    [InlineData(Sectors + 1, 512)]
    [InlineData(ulong.MaxValue, 512)]
    [InlineData(ulong.MaxValue / 512, 512)]
    [InlineData((1UL << 55), 512)]
    public void Transfer_ZeroOddOrOutside_IsAnErrorAndTouchesNothing(ulong sector, int length)
    {
        using BlockRig rig = Open(out RecordingStore store);
        Assert.Equal(IoError, rig.In(BlockRequestType.In, sector, length, out byte[] data));
        Assert.All(data, static b => Assert.Equal(BlockRig.Untouched, b));
        Assert.Equal(length == 0 ? 1u : 0, rig.Written);
        Assert.Equal(IoError, rig.Out(BlockRequestType.Out, sector, new byte[length]));
        Assert.Empty(store.Operations);
        AssertAlive(rig);
    }

    [Theory]
    [InlineData(2u)]
    [InlineData(5u)]
    [InlineData(10u)]
    [InlineData(14u)]
    [InlineData(0x8000_0000u)]
    [InlineData(uint.MaxValue)]
    public void Type_Unknown_IsUnsupported(uint type)
    {
        using BlockRig rig = Open(out RecordingStore store);
        Assert.Equal(Unsupported, rig.Run(rig.Readable(BlockRig.Header(type, 0)), rig.Writable(513)));
        Assert.Empty(store.Operations);
        AssertAlive(rig);
    }

    [Theory]
    [InlineData(20)]
    [InlineData(8)]
    [InlineData(40)]
    public void GetId_AnyRoom_FillsWhatFits(int room)
    {
        using BlockRig rig = Open();
        Assert.Equal(Ok, rig.In(BlockRequestType.GetId, 0, room, out byte[] id));
        byte[] expected = [.. "SN-0123456789"u8, .. new byte[7]];
        int length = Math.Min(room, 20);
        Assert.Equal(expected.AsSpan(0, length).ToArray(), id.AsSpan(0, length).ToArray());
        Assert.All(id.AsSpan(length).ToArray(), static b => Assert.Equal(BlockRig.Untouched, b));
        Assert.Equal((uint)(room <= 20 ? length + 1 : 20), rig.Written);
    }

    [Fact]
    public void ReadOnly_Device_RefusesWhateverWrites()
    {
        using BlockRig rig = Open(out RecordingStore store, new BlockDeviceOptions { Queues = 1, ReadOnly = true });
        Assert.Equal(IoError, rig.Out(BlockRequestType.Out, 0, Data));
        Assert.Equal(IoError, rig.Out(BlockRequestType.Discard, 0, BlockRig.Range(0, 8)));
        Assert.Equal(IoError, rig.Out(BlockRequestType.WriteZeroes, 0, BlockRig.Range(0, 8)));
        Assert.Empty(store.Operations);
        Assert.Equal(Ok, rig.Out(BlockRequestType.Flush, 0));
        Assert.Equal(Ok, rig.In(BlockRequestType.In, 0, 512, out _));
    }

    [Fact]
    public void Discard_SeveralSegments_AllAreDone()
    {
        using BlockRig rig = Open(out RecordingStore store);
        byte[] ranges = [.. BlockRig.Range(8, 8), .. BlockRig.Range(64, 1), .. BlockRig.Range(Sectors - 1, 1)];
        Assert.Equal(Ok, rig.Out(BlockRequestType.Discard, 0, ranges));
        Assert.Equal(
            [(StoreOperation.Discard, 4096UL, 4096UL), (StoreOperation.Discard, 32768, 512), (StoreOperation.Discard, (Sectors - 1) * 512, 512)],
            store.Operations.Select(static seen => (seen.Operation, seen.Offset, seen.Length)));
    }

    [Theory]
    [InlineData(0u, false)]
    [InlineData(1u, true)]
    public void WriteZeroes_UnmapFlag_IsHandedOn(uint flags, bool unmap)
    {
        using BlockRig rig = Open(out RecordingStore store);
        Assert.Equal(Ok, rig.Out(BlockRequestType.Out, 8, Data));
        Assert.Equal(Ok, rig.Out(BlockRequestType.WriteZeroes, 0, BlockRig.Range(8, 16, flags)));
        Assert.Equal(new RecordingStore.Seen(StoreOperation.WriteZeroes, 4096, 8192, Durable: false, unmap), store.Operations[^1]);
        Assert.Equal(Ok, rig.In(BlockRequestType.In, 8, Data.Length, out byte[] data));
        Assert.All(data, static b => Assert.Equal(0, b));
    }

    public static TheoryData<uint, byte[], byte> BadRanges => new()
    {
        // Unknown flags, and unmap where it means nothing.
        { 11, BlockRig.Range(0, 8, 1), Unsupported },
        { 11, BlockRig.Range(0, 8, 2), Unsupported },
        { 13, BlockRig.Range(0, 8, 2), Unsupported },
        { 13, BlockRig.Range(0, 8, 0x8000_0001), Unsupported },

        // Sectors times 512 is 64 bits wide: 0x800000 of them are 4 GiB.
        { 11, BlockRig.Range(0, 0x80_0000), IoError },
        { 11, BlockRig.Range(0, uint.MaxValue), IoError },
        { 13, BlockRig.Range(0, BlockRules.MaxWriteZeroesSectors + 1), IoError },

        // Outside, at the edge, overflowing, empty.
        { 11, BlockRig.Range(Sectors, 1), IoError },
        { 11, BlockRig.Range(Sectors - 1, 2), IoError },
        { 13, BlockRig.Range(ulong.MaxValue, 1), IoError },
        { 13, BlockRig.Range(ulong.MaxValue - 7, 8), IoError },
        { 11, BlockRig.Range(0, 0), IoError },

        // No segment, part of one, too many, and a bad one behind a good one.
        { 11, [], IoError },
        { 11, BlockRig.Range(0, 8)[..15], IoError },
        { 13, [.. BlockRig.Range(0, 8), 0], IoError },
        { 11, Enumerable.Repeat(BlockRig.Range(0, 8), BlockRules.MaxRanges + 1).SelectMany(static range => range).ToArray(), IoError },
        { 11, [.. BlockRig.Range(0, 8), .. BlockRig.Range(Sectors, 8)], IoError },
    };

    [Theory]
    [MemberData(nameof(BadRanges))]
    public void Ranges_ThatCannotBe_AreRefusedWhole(uint type, byte[] ranges, byte expected)
    {
        using BlockRig rig = Open(out RecordingStore store);
        Assert.Equal(expected, rig.Out((BlockRequestType)type, 0, ranges));
        Assert.Empty(store.Operations);
        AssertAlive(rig);
    }

    [Fact]
    public void Discard_StoreCannot_IsUnsupportedAndNotOffered()
    {
        RecordingStore store = new(new MemoryStore(Sectors * 512)) { Properties = new StoreProperties(ReadOnly: false, CanDiscard: false) };
        using BlockRig rig = new(store);
        Assert.Equal(Unsupported, rig.Out(BlockRequestType.Discard, 0, BlockRig.Range(0, 8)));
        Assert.Equal(0UL, rig.Device.Features & BlockFeatures.Discard);
        Assert.NotEqual(0UL, rig.Device.Features & BlockFeatures.WriteZeroes);
    }

    [Theory]
    [InlineData(EIO, IoError)]
    [InlineData(ENOSPC, IoError)]
    [InlineData(EFAULT, IoError)]
    [InlineData(EOPNOTSUPP, Unsupported)]
    public void HostError_AnyOperation_IsAStatus(int error, byte expected)
    {
        using BlockRig rig = Open(out RecordingStore store);
        store.Fail = _ => error;
        Assert.Equal(expected, rig.In(BlockRequestType.In, 0, 512, out _));
        Assert.Equal(0u, rig.Written);
        Assert.Equal(expected, rig.Out(BlockRequestType.Out, 0, Data));
        Assert.Equal(expected, rig.Out(BlockRequestType.Flush, 0));
        Assert.Equal(expected, rig.Out(BlockRequestType.Discard, 0, BlockRig.Range(0, 8)));
        store.Fail = static _ => 0;
        AssertAlive(rig);
        Assert.Equal(4, rig.Device.Counters.Sum(static counters => counters.Failed));
    }

    [Fact]
    public void HostError_InTheMiddleOfSegments_EndsTheRequestOnce()
    {
        using BlockRig rig = Open(out RecordingStore store);
        store.Fail = request => request.Offset == 4096 ? EIO : 0;
        byte[] ranges = [.. BlockRig.Range(0, 8), .. BlockRig.Range(8, 8), .. BlockRig.Range(16, 8)];
        Assert.Equal(IoError, rig.Out(BlockRequestType.Discard, 0, ranges));
        Assert.Equal(2, store.Operations.Count);

        // What is left of it must not leak into the next request in the same slot.
        store.Fail = static _ => 0;
        Assert.Equal(Ok, rig.Out(BlockRequestType.Flush, 0));
        Assert.Equal(3, store.Operations.Count);
    }

    [Fact]
    public void Completion_OutOfOrder_EachStatusToItsRequest()
    {
        using BlockRig rig = Open(out RecordingStore store);
        store.Hold = true;
        GuestRange[] buffers = [.. Enumerable.Range(0, 3).Select(_ => rig.Writable(513))];
        ushort[] ids = [.. buffers.Select((buffer, i) => rig.Rig.Driver.Add(rig.Readable(BlockRig.Header(0, (ulong)i)), buffer))];
        rig.Rig.Kick();
        store.WaitForHeld(3);
        store.Release(2);
        Assert.Equal(ids[2], rig.Rig.Next().Id);
        store.Release(0);
        Assert.Equal(ids[0], rig.Rig.Next().Id);
        Assert.Equal(BlockRig.Untouched, rig.Memory.Span(buffers[1])[^1]);
        store.Release(0);
        Assert.Equal(ids[1], rig.Rig.Next().Id);
        Assert.All(buffers, buffer => Assert.Equal(Ok, rig.Memory.Span(buffer)[^1]));
    }

    [Fact]
    public async Task Stop_WithRequestsInFlight_WaitsForThem()
    {
        using BlockRig rig = Open(out RecordingStore store);
        store.Hold = true;
        rig.Rig.Driver.Add(rig.Readable(BlockRig.Header(0, 0)), rig.Writable(513));
        rig.Rig.Kick();
        store.WaitForHeld(1);
        Task<uint> stop = Task.Run(() => rig.Rig.Stop());
        Assert.False(stop.IsCompleted);
        store.Release();
        Assert.Equal(1u, rig.Rig.Next().Id + 1u);
        Assert.Equal(1u, await stop);
    }

    [Fact]
    public void Buffer_OutsideMemory_BreaksTheRing()
    {
        using BlockRig rig = Open(out RecordingStore store);
        rig.Rig.Driver.Add(rig.Readable(BlockRig.Header(0, 0)), new GuestRange(TestMemory.Outside, 512, true), rig.Writable(1));
        Assert.True(rig.Rig.IsBroken());
        Assert.Empty(store.Operations);
    }

    private static void AssertAlive(BlockRig rig)
    {
        Assert.Equal(Ok, rig.Out(BlockRequestType.Out, 3, Data));
        Assert.Equal(Ok, rig.In(BlockRequestType.In, 3, Data.Length, out byte[] read));
        Assert.Equal(Data, read);
    }

    private static BlockRig Open() => Open(out _);

    private static BlockRig Open(out RecordingStore store, BlockDeviceOptions? options = null)
    {
        store = new RecordingStore(new MemoryStore(Sectors * 512));
        return new BlockRig(store, options ?? new BlockDeviceOptions { Queues = 1, Serial = "SN-0123456789" });
    }
}
