using TestKit;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using Xunit;
using static VhostXen.Linux.LibC;

namespace VhostUser.Tests.Session;

/// <summary>A front-end that breaks the protocol loses its session; one that asks the impossible is told so. Neither costs a descriptor.</summary>
public sealed class HostileSessionTests : IAsyncLifetime
{
    private readonly EchoDevice _device = new();
    private readonly TestMemory _memory = new();
    private TestBackend _backend = null!;
    private RawFrontend _frontend = null!;

    public async ValueTask InitializeAsync()
    {
        _backend = await TestBackend.StartAsync(_device);
        _frontend = _backend.Connect();
    }

    public async ValueTask DisposeAsync()
    {
        _frontend.Dispose();
        await _backend.DisposeAsync();
        _memory.Dispose();
    }

    public static TheoryData<uint, int, int> WrongShapes()
    {
        var data = new TheoryData<uint, int, int>();
        for (uint request = 1; request <= 44; request++)
        {
            RequestShape shape = RequestShape.Of((FrontendRequest)request)!.Value;
            if (shape.MinPayload > 0)
                data.Add(request, shape.MinPayload - 1, shape.MinFds);

            data.Add(request, shape.MaxPayload + 1, shape.MinFds);
            if (shape.MaxFds < 253)
                data.Add(request, shape.MinPayload, shape.MaxFds + 1);

            if (shape.MinFds > 0)
                data.Add(request, shape.MinPayload, 0);
        }

        return data;
    }

    /// <summary>Table-driven: each message one byte too short and too long, and with a descriptor too few and too many.</summary>
    [Theory]
    [MemberData(nameof(WrongShapes))]
    public async Task Message_OfWrongShape_EndsTheSession(uint request, int payload, int fds)
    {
        await _frontend.NegotiateAsync();
        using var probe = new DescriptorProbe();
        _frontend.Send((FrontendRequest)request, new byte[payload], needReply: true, [.. Enumerable.Repeat(probe.Descriptor, fds)]);
        await AssertEndedAsync();
        Assert.True(probe.IsClosedByPeer(RawFrontend.Deadline));
        string line = Assert.Single(_backend.Log.Complaints);
        Assert.StartsWith("test: session ended, the front-end broke the protocol: ", line, StringComparison.Ordinal);
    }

    public static TheoryData<uint> Numbers() => [.. Enumerable.Range(1, 44).Select(static number => (uint)number)];

    /// <summary>Each message as the first of a session: refused, answered, or the end, but the daemon lives.</summary>
    [Theory]
    [MemberData(nameof(Numbers))]
    public async Task Message_OutOfOrder_NeverHarms(uint request)
    {
        RequestShape shape = RequestShape.Of((FrontendRequest)request)!.Value;
        using var probe = new DescriptorProbe();
        _frontend.Send((FrontendRequest)request, new byte[shape.MinPayload], needReply: true, [.. Enumerable.Repeat(probe.Descriptor, shape.MinFds)]);
        if (shape.Needs != ProtocolFeatures.None)
        {
            await AssertEndedAsync();
            Assert.Contains("has not been negotiated", Assert.Single(_backend.Log.Complaints), StringComparison.Ordinal);
        }

        _frontend.Dispose();
        await _backend.Session.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken);
        Assert.True(probe.IsClosedByPeer(RawFrontend.Deadline));
        await AssertServesAsync();
    }

    [Theory]
    [InlineData("00000000 01000000 00000000")]
    [InlineData("2d000000 01000000 00000000")]
    [InlineData("ffffffff 01000000 08000000 0000000000000000")]
    public async Task Message_Unknown_IsRefusedAndItsDescriptorsAreClosed(string hex)
    {
        using var probe = new DescriptorProbe();
        byte[] message = Convert.FromHexString(hex.Replace(" ", string.Empty, StringComparison.Ordinal));
        message[4] |= (byte)MessageFlags.NeedReply;
        _frontend.SendRaw(message, probe.Descriptor);
        Assert.Equal(1UL, await _frontend.ReceiveStatusAsync((FrontendRequest)BitConverter.ToUInt32(message)));
        Assert.True(probe.IsClosedByPeer(RawFrontend.Deadline));

        message[4] &= unchecked((byte)~(byte)MessageFlags.NeedReply);
        _frontend.SendRaw(message);
        Assert.NotEqual(0UL, await _frontend.GetAsync(FrontendRequest.GetFeatures));
    }

    [Theory]
    [InlineData("01000000 00000000 00000000", "version 0")]
    [InlineData("01000000 03000000 00000000", "version 3")]
    [InlineData("01000000 05000000 00000000", "marked as a reply")]
    [InlineData("01000000 11000000 00000000", "reserved header flags")]
    [InlineData("05000000 01000000 ffffffff", "payload of 4294967295 bytes")]
    [InlineData("63000000 01000000 00000100", "payload of 65536 bytes")]
    public async Task Header_Malformed_EndsTheSession(string hex, string cause)
    {
        _frontend.SendRaw(Convert.FromHexString(hex.Replace(" ", string.Empty, StringComparison.Ordinal)));
        await AssertEndedAsync();
        Assert.Contains(cause, Assert.Single(_backend.Log.Complaints), StringComparison.Ordinal);
        await AssertServesAsync();
    }

    [Fact]
    public async Task Header_HalfAndThenSilence_HoldsUpNobodyElse()
    {
        _frontend.SendRaw([1, 0, 0, 0, 1]);
        await using TestBackend other = await TestBackend.StartAsync(new EchoDevice());
        using (RawFrontend frontend = other.Connect())
            Assert.NotEqual(0UL, await frontend.GetAsync(FrontendRequest.GetFeatures));

        Assert.False(_backend.Session.IsCompleted);
        _frontend.Dispose();
        await _backend.Session.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken);
        Assert.Contains("ended inside its header", Assert.Single(_backend.Log.Complaints), StringComparison.Ordinal);
    }

    public static TheoryData<string, ulong, ulong, ulong, ulong> ImpossibleRegions() => new()
    {
        { "no bytes", 0, 0, 0x1000, 0 },
        { "guest address overflows", ulong.MaxValue - 0xfff, 0x2000, 0x1000, 0 },
        { "user address overflows", 0, 0x2000, ulong.MaxValue - 0xfff, 0 },
        { "file offset overflows", 0, 0x1000, 0x1000, ulong.MaxValue - 0xfff },
        { "file is shorter (truncated memfd)", 0, 1UL << 40, 0x1000, 0 },
        { "starts past the file's end", 0, 0x1000, 0x1000, 1UL << 40 },
    };

    [Theory]
    [MemberData(nameof(ImpossibleRegions))]
    public async Task Memory_Impossible_IsRefusedAndTheOldStays(string why, ulong guest, ulong size, ulong user, ulong offset)
    {
        Assert.NotEmpty(why);
        using RawRing ring = await StartAsync();
        var region = new MemoryRegion(new GuestAddress(guest), size, new FrontendAddress(user), offset);
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetMemTable, RawFrontend.Table([region]), _memory.File));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.AddMemReg, RawFrontend.Single(region), _memory.File));
        Assert.Equal([4], ring.Echo([4]));
    }

    [Theory]
    [InlineData(0x1000, 0x5000)]
    [InlineData(0x8000, 0x1800)]
    public async Task Memory_Overlapping_IsRefused(ulong guest, ulong user)
    {
        await _frontend.NegotiateAsync();
        MemoryRegion[] regions =
        [
            new(new GuestAddress(0), 0x2000, new FrontendAddress(0x1000), 0),
            new(new GuestAddress(guest), 0x2000, new FrontendAddress(user), 0x2000),
        ];
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetMemTable, RawFrontend.Table(regions), _memory.File, _memory.File));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.AddMemReg, RawFrontend.Single(regions[0]), _memory.File));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.AddMemReg, RawFrontend.Single(regions[1]), _memory.File));
    }

    [Fact]
    public async Task Memory_NotAFile_IsRefused()
    {
        await _frontend.NegotiateAsync();
        using EventFd fd = EventFd.Create();
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.AddMemReg, RawFrontend.Single(_memory.Regions[0]), fd.Handle));
    }

    [Fact]
    public async Task Memory_FileCutShortAfterwards_IsSealedAgainstIt()
    {
        await _frontend.NegotiateAsync();
        await _frontend.ShareAsync(_memory);
        AssertCannotBeCut(_memory.File);
        using FileDescriptor log = MemFd.Create("log", 4096);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetLogBase, new LogDescription(4096, 0), log));
        AssertCannotBeCut(log);
        using FileDescriptor inflight = MemFd.Create("inflight", 4096);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetInflightFd, new InflightDescription(320, 0, 1, 16), inflight));
        AssertCannotBeCut(inflight);
    }

    // Where files may be cut short, their owner can end this process: by option they are not mapped at all.
    [Fact]
    public async Task Memory_ThatCouldBeCutShort_IsRefusedByOption()
    {
        await using TestBackend backend = await TestBackend.StartAsync(new EchoDevice(), new SessionOptions { RequireSealedMemory = true });
        using RawFrontend frontend = backend.Connect();
        await frontend.NegotiateAsync();
        string path = Path.Combine(AppContext.BaseDirectory, $"memory-{Guid.NewGuid():n}");
        try
        {
            await File.WriteAllBytesAsync(path, new byte[1 << 20], TestContext.Current.CancellationToken);
            using FileDescriptor regular = FileDescriptor.Open(path, O_RDWR);
            using FileDescriptor sealedWrongly = MemFd.Create("memory", 1 << 20, F_SEAL_SEAL);
            var region = new MemoryRegion(new GuestAddress(0), 1 << 20, new FrontendAddress(0x10000), 0);
            foreach (FileDescriptor file in (FileDescriptor[])[regular, sealedWrongly])
            {
                Assert.Equal(1UL, await frontend.AskAsync(FrontendRequest.SetMemTable, RawFrontend.Table([region]), file));
                Assert.Equal(1UL, await frontend.AskAsync(FrontendRequest.AddMemReg, RawFrontend.Single(region), file));
                Assert.Equal(1UL, await frontend.AskAsync(FrontendRequest.SetLogBase, new LogDescription(4096, 0), file));
                Assert.Equal(1UL, await frontend.AskAsync(FrontendRequest.SetInflightFd, new InflightDescription(320, 0, 1, 16), file));
            }
        }
        finally
        {
            File.Delete(path);
        }

        Assert.Contains("only sealed memory is taken", backend.Log.Complaints[0], StringComparison.Ordinal);
        await frontend.ShareAsync(_memory);
        using RawRing ring = await frontend.StartRingAsync(DriverRing.Create(_memory, 16));
        Assert.Equal([1], ring.Echo([1]));
    }

    private static void AssertCannotBeCut(FileDescriptor file)
        => Assert.Equal((-1, EPERM), (ftruncate(file.Value, 0), errno));

    [Theory]
    [InlineData(3, 1)]
    [InlineData(3, 2)]
    [InlineData(2, 3)]
    [InlineData(0, 1)]
    public async Task SetMemTable_RegionsAndDescriptorsDisagree_EndsTheSession(int regions, int fds)
    {
        await _frontend.NegotiateAsync();
        using var probe = new DescriptorProbe();
        _frontend.Send(FrontendRequest.SetMemTable, RawFrontend.Table([.. _memory.Regions.Take(regions)]), false, [.. Enumerable.Repeat(probe.Descriptor, fds)]);
        await AssertEndedAsync();
        Assert.True(probe.IsClosedByPeer(RawFrontend.Deadline));
    }

    [Fact]
    public async Task SetMemTable_XenRegionsUnnegotiated_EndsTheSession()
    {
        await _frontend.NegotiateAsync();
        _frontend.Send(FrontendRequest.SetMemTable, RawFrontend.Table(_memory.Regions, xen: true), false, RawFrontend.Files(_memory));
        await AssertEndedAsync();
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(0, 3)]
    [InlineData(0, 65536)]
    [InlineData(0, 0x80000000)]
    [InlineData(2, 16)]
    [InlineData(0x10000, 16)]
    [InlineData(0xffffffff, 16)]
    public async Task SetVringNum_Impossible_IsRefused(uint index, uint size)
    {
        await _frontend.NegotiateAsync();
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(index, size)));
    }

    [Theory]
    [InlineData(8, 0, 0)]
    [InlineData(0, 2, 0)]
    [InlineData(0, 0, 1)]
    [InlineData(1, 1, 1)]
    [InlineData(0x10000000, 0, 0)]
    [InlineData(0, 0x10000000, 0)]
    [InlineData(0, 0, 0x10000000)]
    [InlineData(-0x10000000000, 0, 0)]
    public async Task SetVringAddr_UnalignedOrOutside_IsRefused(long descriptors, long used, long available)
    {
        await _frontend.NegotiateAsync();
        await _frontend.ShareAsync(_memory);
        await _frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(0, 16));
        DriverRing ring = DriverRing.Create(_memory, 16);
        VringAddress good = RawFrontend.Address(ring, 0);
        VringAddress bad = good with
        {
            Descriptors = new FrontendAddress(good.Descriptors.Value + (ulong)descriptors),
            Used = new FrontendAddress(good.Used.Value + (ulong)used),
            Available = new FrontendAddress(good.Available.Value + (ulong)available),
        };
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, bad));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, good));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, good with { Index = 7 }));
    }

    [Fact]
    public async Task SetVringAddr_RunsPastItsRegion_IsRefused()
    {
        // The table starts inside the last region and its end is past it: the length counts, not only the address.
        await _frontend.NegotiateAsync();
        await _frontend.ShareAsync(_memory);
        await _frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(0, 16));
        MemoryRegion first = _memory.Regions[0];
        ulong end = first.UserAddress.Value + first.Size;
        VringAddress good = RawFrontend.Address(DriverRing.Create(_memory, 16), 0);
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, good with { Descriptors = new FrontendAddress(end - 16) }));
    }

    [Fact]
    public async Task Ring_ChangedWhileRunning_IsRefusedAndGoesOn()
    {
        using RawRing ring = await StartAsync();
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(0, 8)));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringBase, new VringState(0, 8)));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetFeatures, new UInt64Payload(RawFrontend.PlainFeatures | VirtioFeatures.EventIdx)));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringEnable, new VringState(0, 2)));
        Assert.Equal([1], ring.Echo([1]));
    }

    [Fact]
    public async Task SetVringBase_WiderThanSplitIndex_IsRefused()
    {
        await _frontend.NegotiateAsync();
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringBase, new VringState(0, 0x10000)));
    }

    [Fact]
    public async Task SetVringKick_NoEventFd_IsRefused()
    {
        await _frontend.NegotiateAsync();
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringKick, new VringFd(0, true), _memory.File));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringCall, new VringFd(9, true), _memory.File));
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(1, true)]
    public async Task SetVringCall_DescriptorDisagreesWithFlag_EndsTheSession(int fds, bool noFd)
    {
        using EventFd call = EventFd.Create();
        _frontend.Send(FrontendRequest.SetVringCall, new VringFd(0, !noFd), false, [.. Enumerable.Repeat(call.Handle, fds)]);
        await AssertEndedAsync();
    }

    [Fact]
    public async Task GetVringBase_NoSuchRing_EndsTheSession()
    {
        _frontend.Send(FrontendRequest.GetVringBase, new VringState(5, 0));
        await AssertEndedAsync();
        Assert.Contains("ring 5", Assert.Single(_backend.Log.Complaints), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1UL << 41)]
    [InlineData(1UL << 20)]
    [InlineData(ulong.MaxValue)]
    public async Task SetFeatures_Unoffered_IsRefused(ulong extra)
        => Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetFeatures, new UInt64Payload(RawFrontend.PlainFeatures | extra)));

    [Fact]
    public async Task SetFeatures_Legacy_IsRefusedWithTheReason()
    {
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetFeatures, new UInt64Payload(VirtioFeatures.ProtocolFeatures)));
        Assert.Contains("legacy drivers are not served", Assert.Single(_backend.Log.Complaints), StringComparison.Ordinal);
    }

    [Fact]
    public async Task SetProtocolFeatures_Unoffered_IsRefused()
        => Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetProtocolFeatures, new UInt64Payload(1UL << 63)));

    [Fact]
    public async Task SetVringEndian_Other_IsRefused()
    {
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringEndian, new VringState(0, 0)));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringEndian, new VringState(0, 1)));
    }

    [Fact]
    public async Task Refusals_Repeated_FillACounterNotTheLog()
    {
        for (int i = 0; i < 1000; i++)
            Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(99, 1)));

        _frontend.Dispose();
        await _backend.Session.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken);
        Assert.Equal(17, _backend.Log.Complaints.Count);
        Assert.Contains("984 more requests", _backend.Log.Complaints[^1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Replies_NeverRead_HoldUpOnlyTheirSession()
    {
        // Enough questions to fill the socket with answers; then the front-end goes.
        byte[] header = new byte[12];
        new MessageHeader((uint)FrontendRequest.GetFeatures, MessageFlags.Version1, 0).Write(header);
        byte[] many = [.. Enumerable.Repeat(header, 1000).SelectMany(static bytes => bytes)];
        using var stop = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        Task flood = Task.Run(
            () =>
            {
                while (!stop.IsCancellationRequested && _frontend.SendRaw(many) > 0)
                {
                }
            },
            CancellationToken.None);
        await flood;
        _frontend.Dispose();
        await _backend.Session.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken);
        await AssertServesAsync();
    }

    private async Task AssertEndedAsync()
    {
        Assert.True(await _frontend.IsHungUpOnAsync());
        await _backend.Session.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken);
    }

    /// <summary>The daemon accepts again.</summary>
    private async Task AssertServesAsync()
    {
        _frontend = _backend.Connect();
        using RawRing ring = await StartAsync();
        Assert.Equal([1], ring.Echo([1]));
    }

    private async Task<RawRing> StartAsync()
    {
        await _frontend.NegotiateAsync();
        await _frontend.ShareAsync(_memory);
        return await _frontend.StartRingAsync(DriverRing.Create(_memory, 16));
    }
}
