using Microsoft.Extensions.Logging.Abstractions;
using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using Xunit;
using static VhostXen.Linux.LibC;

namespace VhostUser.Tests.Session;

/// <summary>
/// A descriptor that was sent is one open file with two owners: the front-end goes on changing flags, contents and counters
/// after they were checked.
/// </summary>
public sealed class SharedOpenFileTests : IAsyncLifetime
{
    private readonly EchoDevice _device = new();
    private readonly TestMemory _memory = new();
    private TestBackend _backend = null!;

    public async ValueTask InitializeAsync() => _backend = await TestBackend.StartAsync(_device, new SessionOptions { AccessPlatform = true });

    public async ValueTask DisposeAsync()
    {
        await _backend.DisposeAsync();
        _memory.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task CallThatBlocks_WhenTheFrontendHasGone_HoldsUpNobody(bool asksForTheBase)
    {
        RawFrontend frontend = _backend.Connect();
        await frontend.NegotiateAsync();
        await frontend.ShareAsync(_memory);
        using RawRing ring = await frontend.StartRingAsync(DriverRing.Create(_memory, 16));
        MakeItBlock(ring.Call);
        ring.Post([1]);
        while (!ring.Ring.TryCollect(out _))
            await Task.Yield();

        // The used entry is shown before the driver is called: the worker waits in that call, or is about to.
        if (asksForTheBase)
            frontend.Send(FrontendRequest.GetVringBase, new VringState(0, 0));

        frontend.Dispose();
        await _backend.Session.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken);
        await ServesAgainAsync();
    }

    [Fact]
    public async Task ChannelThatBlocks_IsClosedAllTheSame()
    {
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        using FileDescriptor shared = theirs.Duplicate();
        var channel = new BackendChannel(new VhostUserSocket(theirs), 1, "test", NullLogger.Instance);
        shared.SetNonBlocking(true);
        while (FdSocket.SendWithFds(shared, new byte[65536], []) > 0)
        {
        }

        shared.SetNonBlocking(false);
        channel.ReportRingError(0);
        await channel.CloseAsync().WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken);
        ours.Dispose();
    }

    [Fact]
    public async Task ChannelThatNobodyReads_KeepsABoundedNumberOfMessages()
    {
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair(SOCK_NONBLOCK);
        var channel = new BackendChannel(new VhostUserSocket(theirs), 1, "test", NullLogger.Instance);
        for (ulong i = 0; i < 100_000; i++)
            channel.AskIotlb(i, write: false);

        // What has gone by now filled the socket; the rest is what was kept. Whoever sends may be slow to start: silence counts from the first bytes on.
        byte[] buffer = new byte[65536];
        long received = 0;
        long deadline = Environment.TickCount64 + (long)RawFrontend.Deadline.TotalMilliseconds;
        while (true)
        {
            nint count = FdSocket.ReceiveWithFds(ours, buffer, [], 0, 0, out _);
            if (count > 0)
            {
                received += count;
                continue;
            }

            Span<pollfd> poll = [new pollfd { fd = ours.Value, events = POLLIN }];
            if (FileIO.Poll(poll, 500) == 0 && (received / 44 >= 1000 || Environment.TickCount64 > deadline))
                break;
        }

        Assert.InRange(received / 44, 1000, 50_000);
        await channel.CloseAsync().WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken);
        ours.Dispose();
    }

    // The ring's translation was pushed out by others while it ran, so it could not be found for its new log.
    [Fact]
    public async Task DirtyLog_ReplacedWhileTheRingsTranslationIsMissing_IsLetGoOf()
    {
        const ulong features = RawFrontend.PlainFeatures | VirtioFeatures.AccessPlatform | VirtioFeatures.LogAll;
        using RawFrontend frontend = _backend.Connect();
        await frontend.NegotiateAsync(features);
        await frontend.ShareAsync(_memory);
        using FileDescriptor first = MemFd.Create("log", 0x40000);
        using FileDescriptor second = MemFd.Create("log", 0x40000);
        Assert.Equal(0UL, await frontend.AskAsync(FrontendRequest.SetLogBase, new LogDescription(0x40000, 0), first));
        Assert.Equal(0UL, await UpdateAsync(0, 0x10000));
        DriverRing ring = DriverRing.Create(_memory, 16);
        using var raw = new RawRing(ring, 0);
        VringAddress address = new(
            0, VringAddress.LogFlag, new FrontendAddress(ring.Descriptors.Value), new FrontendAddress(ring.Device.Value), new FrontendAddress(ring.Driver.Value), default);
        Assert.Equal(0UL, await frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(0, 16)));
        Assert.Equal(0UL, await frontend.AskAsync(FrontendRequest.SetVringAddr, address));
        Assert.Equal(0UL, await frontend.AskAsync(FrontendRequest.SetVringCall, new VringFd(0, true), raw.Call.Handle));
        Assert.Equal(0UL, await frontend.AskAsync(FrontendRequest.SetVringKick, new VringFd(0, true), raw.Kick.Handle));
        Assert.Equal(0UL, await frontend.AskAsync(FrontendRequest.SetVringEnable, new VringState(0, 1)));
        Assert.Equal([1], raw.Echo([1]));

        for (ulong i = 0; i < Iotlb.Capacity; i++)
            Assert.Equal(0UL, await UpdateAsync(0x20000 + (i * 16), 16));

        Assert.Equal(0UL, await frontend.AskAsync(FrontendRequest.SetLogBase, new LogDescription(0x40000, 0), second));
        Assert.Equal(0UL, OpenFiles.MappedBytesOf(first));

        // Its own pages are still known to it, and the used ring is written: with the old log, where there is nothing now.
        ring.Add(new GuestRange(new GuestAddress(0x20000), 1, false), new GuestRange(new GuestAddress(0x20010), 1, true));
        raw.Kick.Signal();
        Assert.Equal(1u, raw.Wait().Written);

        async Task<ulong> UpdateAsync(ulong iova, ulong size)
        {
            FrontendAddress target = new(_memory.Regions[0].UserAddress.Value + iova);
            return await frontend.AskAsync(
                FrontendRequest.IotlbMsg, new IotlbMessage(iova, size, target, IotlbPermissions.Read | IotlbPermissions.Write, IotlbType.Update));
        }
    }

    private async Task ServesAgainAsync()
    {
        using RawFrontend frontend = _backend.Connect();
        await frontend.NegotiateAsync();
        await frontend.ShareAsync(_memory);
        using RawRing ring = await frontend.StartRingAsync(DriverRing.Create(_memory, 16));
        Assert.Equal([7], ring.Echo([7]));
    }

    /// <summary>Through our own copy of what the session made non-blocking.</summary>
    private static unsafe void MakeItBlock(EventFd signal)
    {
        ulong most = ulong.MaxValue - 1;
        signal.Drain();
        Assert.Equal(sizeof(ulong), FileIO.Write(signal.Handle.Value, &most, sizeof(ulong)));
        signal.Handle.SetNonBlocking(false);
    }
}
