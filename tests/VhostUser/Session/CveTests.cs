using TestKit;
using VhostUser.Protocol;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Session;

/// <summary>One test per lesson that other back-ends paid for, where it is a matter of messages. Rings have theirs in Queues.</summary>
public sealed class CveTests : IAsyncLifetime
{
    private readonly EchoDevice _device = new();
    private readonly TestMemory _memory = new();
    private TestBackend _backend = null!;
    private RawFrontend _frontend = null!;

    public async ValueTask InitializeAsync()
    {
        _backend = await TestBackend.StartAsync(_device);
        _frontend = _backend.Connect();
        await _frontend.NegotiateAsync();
    }

    public async ValueTask DisposeAsync()
    {
        _device.Release();
        _frontend.Dispose();
        await _backend.DisposeAsync();
        _memory.Dispose();
    }

    [Fact]
    public async Task Cve2018_1059_RingThatCrossesTwoRegions_IsRefused()
    {
        // Regions 1 and 2 are neighbours for the guest and lie elsewhere in our address space.
        await _frontend.ShareAsync(_memory);
        await _frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(0, 256));
        MemoryRegion first = _memory.Regions[1];
        VringAddress good = RawFrontend.Address(DriverRing.Create(_memory, 256), 0);
        var last = new FrontendAddress(first.UserAddress.Value + first.Size - 64);
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, good with { Descriptors = last }));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, good with { Available = last }));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, good with { Used = last }));
    }

    [Fact]
    public async Task Cve2019_14818_RepeatedMessages_ReleaseTheEarlierDescriptors()
    {
        using EventFd fd = EventFd.Create();
        await _frontend.ShareAsync(_memory);
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringKick, new VringFd(0, true), fd.Handle));
            Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringCall, new VringFd(0, true), fd.Handle));
            Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringErr, new VringFd(0, true), fd.Handle));
            Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetLogFd, [], fd.Handle));
            Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringKick, new VringFd(77, true), fd.Handle));
            Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetMemTable, RawFrontend.Table(_memory.Regions), RawFrontend.Files(_memory)));
        }

        // Ours, and one each as kick, call, error and log.
        Assert.Equal(5, OpenFiles.CountOf(fd));
        Assert.Equal(1, OpenFiles.CountOf(_memory.File));
        Assert.Equal(2 * FileIO.Stat(_memory.File).stx_size, OpenFiles.MappedBytesOf(_memory.File));
    }

    [Fact]
    public async Task Cve2020_10722_LogOffsetAndSizeThatOverflow_AreRefused()
    {
        using FileDescriptor file = MemFd.Create("log", 0x10000);
        foreach ((ulong size, ulong offset) in new[] { (0x10001UL, 0UL), (0x1000UL, 0xf001UL), (ulong.MaxValue, 0x1000UL), (0x1000UL, ulong.MaxValue - 0xfff), (0UL, 0UL), (0x100UL, 2UL) })
            Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetLogBase, new LogDescription(size, offset), file));

        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetLogBase, new LogDescription(0x8000, 0x8000), file));
        Assert.Equal(1, OpenFiles.CountOf(file));
    }

    [Fact]
    public async Task Cve2020_10723_RingIndexOfThirtyTwoBits_IsNotNarrowedBeforeTheCheck()
    {
        foreach (uint index in new uint[] { 2, 0x100, 0x10000, 0x10001, 0x80000000, uint.MaxValue })
        {
            Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(index, 16)));
            Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringBase, new VringState(index, 0)));
            Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringEnable, new VringState(index, 1)));
            Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringEndian, new VringState(index, 0)));
            Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, new VringAddress(index, 0, default, default, default, default)));
        }
    }

    [Fact]
    public async Task Cve2020_10724_CryptoSession_IsNotEvenParsed()
    {
        _frontend.Send(FrontendRequest.CreateCryptoSession, new byte[64], needReply: true);
        Assert.True(await _frontend.IsHungUpOnAsync());
    }

    [Fact]
    public async Task Cve2020_10726_RepeatedGetInflight_ReleasesTheEarlierRegion()
    {
        int before = OpenFiles.MappingsNamed("vhost-user-inflight");
        for (int i = 0; i < 20; i++)
        {
            _frontend.Send(FrontendRequest.GetInflightFd, new InflightDescription(0, 0, 2, 128));
            using VhostUserMessage reply = await _frontend.ReceiveAsync(FrontendRequest.GetInflightFd);
            InflightDescription made = reply.Read<InflightDescription>("GET_INFLIGHT_FD");
            Assert.Equal(2UL * 2112, made.MmapSize);
            Assert.Equal(1, reply.Fds.Count);
            using FileDescriptor file = reply.Fds.Take();
            Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetInflightFd, made, file));
        }

        Assert.True(OpenFiles.MappingsNamed("vhost-user-inflight") <= before + 1);
    }

    [Theory]
    [InlineData(3, 128, 0x100000, 0)]
    [InlineData(0xffff, 0xffff, 0x100000, 0)]
    [InlineData(0, 128, 0x100000, 0)]
    [InlineData(2, 0, 0x100000, 0)]
    [InlineData(2, 0xffff, 0x100000, 0)]
    [InlineData(2, 128, 4223, 0)]
    [InlineData(2, 128, 4224, 0x100000)]
    [InlineData(2, 128, 4224, ulong.MaxValue - 4095)]
    [InlineData(2, 128, ulong.MaxValue, ulong.MaxValue)]
    [InlineData(2, 128, 4224, 8)]
    public async Task Cve2021_3839_InflightNumbers_AreBounded(int queues, int size, ulong bytes, ulong offset)
    {
        using FileDescriptor file = MemFd.Create("inflight", 0x100000);
        var description = new InflightDescription(bytes, offset, (ushort)queues, (ushort)size);
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetInflightFd, description, file));
        Assert.Equal(1, OpenFiles.CountOf(file));
    }

    [Fact]
    public async Task Cve2022_0669_SurplusDescriptorsOfInflightMessages_AreClosed()
    {
        using var probe = new DescriptorProbe();
        _frontend.Send(FrontendRequest.GetInflightFd, new InflightDescription(0, 0, 2, 128), false, probe.Descriptor, probe.Descriptor);
        Assert.True(await _frontend.IsHungUpOnAsync());
        Assert.True(probe.IsClosedByPeer(RawFrontend.Deadline));
    }

    [Fact]
    public async Task Cve2019_14835_RingLoggedPastTheEndOfTheLog_IsRefused()
    {
        using FileDescriptor file = MemFd.Create("log", 4096);
        await _frontend.ShareAsync(_memory);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetLogBase, new LogDescription(8, 0), file));
        await _frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(0, 16));
        DriverRing ring = DriverRing.Create(_memory, 16);

        // Eight bytes of log are 64 pages. The last byte of the used ring counts, not the first.
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, RawFrontend.Address(ring, 0, 1, (64 * 4096) - 4)));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, RawFrontend.Address(ring, 0, 1, ulong.MaxValue - 8)));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, RawFrontend.Address(ring, 0, 1, 63 * 4096)));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetLogBase, new LogDescription(4, 0), file));
    }

    // A packed ring is written in two places, and log_guest_addr names one: QEMU's the event structure, which may be the last
    // thing in memory. What counts is that both have bits.
    [Fact]
    public async Task Cve2019_14835_PackedRing_IsLookedForWhereItIs()
    {
        using FileDescriptor file = MemFd.Create("log", 4096);
        await _frontend.NegotiateAsync(RawFrontend.PlainFeatures | VirtioFeatures.RingPacked);
        await _frontend.ShareAsync(_memory);
        DriverRing ring = DriverRing.Create(_memory, 300, VirtioFeatures.RingPacked);
        ulong pages = ring.Device.Value / 4096 + 1;
        _memory.Allocate(32 * 4096);
        Assert.True(pages <= 32, "the test needs a small log");
        DriverRing beyond = DriverRing.Create(_memory, 300, VirtioFeatures.RingPacked);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetLogBase, new LogDescription(4, 0), file));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(0, 300)));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, RawFrontend.Address(ring, 0, 1, (32 * 4096) - 4)));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, RawFrontend.Address(ring, 0, 1, 1UL << 40)));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, RawFrontend.Address(beyond, 0, 1, 0)));
    }

    [Fact]
    public async Task Cve2026_45782_MemoryRemovedDuringARequest_StaysUntilItIsBack()
    {
        await _frontend.ShareAsync(_memory);
        using RawRing ring = await _frontend.StartRingAsync(DriverRing.Create(_memory, 16));
        _device.Hold = true;
        ring.Post([1, 2, 3]);
        Assert.True(SpinWait.SpinUntil(() => _device.Held == 1, RawFrontend.Deadline));

        Task<ulong> remove = _frontend.AskAsync(FrontendRequest.RemMemReg, RawFrontend.Single(_memory.Regions[2]));
        await Task.Delay(50, TestContext.Current.CancellationToken);
        Assert.False(remove.IsCompleted);
        _device.Release();
        Assert.Equal(0UL, await remove);
        Assert.Equal(3u, ring.Wait().Written);
    }
}
