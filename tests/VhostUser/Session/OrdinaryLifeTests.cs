using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Session;

/// <summary>What QEMU's front-end does between plugging a disk in and pulling it out.</summary>
public sealed class OrdinaryLifeTests : IAsyncLifetime
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
        _device.Release();
        _frontend.Dispose();
        await _backend.DisposeAsync();
        _memory.Dispose();
    }

    [Fact]
    public async Task Ring_FromNegotiationToRequest_Answers()
    {
        using RawRing ring = await StartAsync();
        Assert.Equal([1, 2, 3, 4], ring.Echo([1, 2, 3, 4]));
        Assert.Equal(RawFrontend.PlainFeatures, _device.NegotiatedFeatures);
        Assert.Equal(1u, await _frontend.StopRingAsync(0));
        Assert.Empty(_backend.Log.Complaints);
    }

    [Theory]
    [InlineData(0UL, 16)]
    [InlineData(VirtioFeatures.EventIdx | VirtioFeatures.IndirectDesc, 1024)]
    [InlineData(VirtioFeatures.InOrder, 32768)]
    [InlineData(VirtioFeatures.NotificationData | VirtioFeatures.RingReset, 2)]
    [InlineData(VirtioFeatures.RingPacked, 16)]
    [InlineData(VirtioFeatures.RingPacked | VirtioFeatures.NotificationData, 2)]
    [InlineData(VirtioFeatures.RingPacked | VirtioFeatures.EventIdx | VirtioFeatures.IndirectDesc, 7)]
    [InlineData(VirtioFeatures.RingPacked | VirtioFeatures.InOrder | VirtioFeatures.EventIdx, 1000)]
    public async Task Ring_OfEveryForm_AnswersStopsAndGoesOn(ulong form, int size)
    {
        await _frontend.NegotiateAsync(RawFrontend.PlainFeatures | form);
        await _frontend.ShareAsync(_memory);
        using RawRing ring = await _frontend.StartRingAsync(DriverRing.Create(_memory, size, form));
        for (byte i = 0; i < 40; i++)
            Assert.Equal([i], ring.Echo([i]));

        uint at = await _frontend.StopRingAsync(0);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringBase, new VringState(0, at)));
        await _frontend.StartRingAsync(ring);
        Assert.Equal([99], ring.Echo([99]));
        await _frontend.ShareAsync(_memory);
        Assert.Equal([98], ring.Echo([98]));
        Assert.Empty(_backend.Log.Complaints);
    }

    [Theory]
    [InlineData(VirtioFeatures.IndirectDesc)]
    [InlineData(VirtioFeatures.IndirectDesc | VirtioFeatures.RingPacked)]
    public async Task Ring_WithEveryEntryInFlight_IsFullAndNotBroken(ulong form)
    {
        await _frontend.NegotiateAsync(RawFrontend.PlainFeatures | form);
        await _frontend.ShareAsync(_memory);
        using RawRing ring = await _frontend.StartRingAsync(DriverRing.Create(_memory, 16, form));
        _device.Hold = true;
        for (int round = 0; round < 3; round++)
        {
            for (int i = 0; i < 16; i++)
                ring.Ring.AddIndirect(_memory.Buffer(8, writable: false), _memory.Buffer(8, writable: true));

            ring.Kick.Signal();
            Assert.True(SpinWait.SpinUntil(() => _device.Held == 16, RawFrontend.Deadline));
            _device.Release();
            _device.Hold = true;
            for (int i = 0; i < 16; i++)
                ring.Wait();
        }

        Assert.Empty(_backend.Log.Complaints);
    }

    // VIRTIO_F_RING_RESET: the driver resets one queue and sets it up anew, elsewhere and of another size.
    [Theory]
    [InlineData(VirtioFeatures.RingReset)]
    [InlineData(VirtioFeatures.RingReset | VirtioFeatures.RingPacked)]
    public async Task Ring_ResetByItself_BeginsAnewWhileTheOtherGoesOn(ulong form)
    {
        await _frontend.NegotiateAsync(RawFrontend.PlainFeatures | form);
        await _frontend.ShareAsync(_memory);
        using RawRing other = await _frontend.StartRingAsync(DriverRing.Create(_memory, 16, form), 1);
        using (RawRing ring = await _frontend.StartRingAsync(DriverRing.Create(_memory, 16, form)))
        {
            for (byte i = 0; i < 20; i++)
                Assert.Equal([i], ring.Echo([i]));

            await _frontend.StopRingAsync(0);
        }

        Assert.Equal([1], other.Echo([1]));
        using RawRing anew = await _frontend.StartRingAsync(DriverRing.Create(_memory, 64, form));
        Assert.Equal([2], anew.Echo([2]));
        Assert.Equal([3], other.Echo([3]));
        Assert.Empty(_backend.Log.Complaints);
    }

    [Fact]
    public async Task PackedRing_OfImpossibleBase_IsRefused()
    {
        await _frontend.NegotiateAsync(RawFrontend.PlainFeatures | VirtioFeatures.RingPacked);
        await _frontend.ShareAsync(_memory);
        await _frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(0, 16));
        await _frontend.AskAsync(FrontendRequest.SetVringAddr, RawFrontend.Address(DriverRing.Create(_memory, 16, VirtioFeatures.RingPacked), 0));
        foreach (uint @base in new uint[] { 0x80008010, 0x80108000, 0x7fff7fff })
        {
            await _frontend.AskAsync(FrontendRequest.SetVringBase, new VringState(0, @base));
            using EventFd kick = EventFd.Create();
            Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetVringKick, new VringFd(0, true), kick.Handle));
        }
    }

    [Fact]
    public async Task Ring_StoppedAndStarted_GoesOnAtItsBase()
    {
        using RawRing ring = await StartAsync();
        ring.Echo([1]);
        ring.Echo([2]);
        Assert.Equal(2u, await _frontend.StopRingAsync(0));
        await _frontend.StartRingAsync(ring);
        Assert.Equal([3], ring.Echo([3]));
        Assert.Equal(3u, await _frontend.StopRingAsync(0));
    }

    [Fact]
    public async Task Ring_NotEnabled_TakesNothingUntilItIs()
    {
        await _frontend.NegotiateAsync();
        await _frontend.ShareAsync(_memory);
        _device.Hold = true;
        using RawRing ring = await _frontend.StartRingAsync(DriverRing.Create(_memory, 16), enable: false);
        ring.Post([7]);

        // The acknowledgement comes after the worker has run, so had the ring been enabled the request would be held now.
        await _frontend.AskAsync(FrontendRequest.SetVringEnable, new VringState(0, 0));
        await _frontend.AskAsync(FrontendRequest.SetVringEnable, new VringState(0, 0));
        Assert.Equal(0, _device.Held);
        _device.Hold = false;
        await _frontend.AskAsync(FrontendRequest.SetVringEnable, new VringState(0, 1));
        ring.Wait();
    }

    [Fact]
    public async Task SetFeatures_WithoutProtocolFeatures_EnablesAllRings()
    {
        await _frontend.AskAsync(FrontendRequest.SetFeatures, new UInt64Payload(VirtioFeatures.Version1));
        await _frontend.ShareAsync(_memory);
        using RawRing ring = await _frontend.StartRingAsync(DriverRing.Create(_memory, 16), enable: false);
        Assert.Equal([5], ring.Echo([5]));
    }

    [Fact]
    public async Task GetVringBase_WithRequestInFlight_WaitsForIt()
    {
        using RawRing ring = await StartAsync();
        _device.Hold = true;
        GuestRange answer = ring.Post([9]);
        Assert.True(SpinWait.SpinUntil(() => _device.Held == 1, RawFrontend.Deadline));

        Task<uint> stop = _frontend.StopRingAsync(0);
        await Task.Delay(50, TestContext.Current.CancellationToken);
        Assert.False(stop.IsCompleted);
        _device.Release();
        Assert.Equal(1u, await stop);
        Assert.True(ring.Ring.TryCollect(out UsedBuffer used));
        Assert.Equal(1u, used.Written);
        Assert.Equal(9, _memory.Span(answer)[0]);
    }

    [Fact]
    public async Task Disconnect_WithRequestInFlight_DrainsAndServesTheNext()
    {
        using RawRing ring = await StartAsync();
        _device.Hold = true;
        ring.Post([9]);
        Assert.True(SpinWait.SpinUntil(() => _device.Held == 1, RawFrontend.Deadline));
        Task session = _backend.Session;
        _frontend.Dispose();
        await Task.Delay(50, TestContext.Current.CancellationToken);
        Assert.False(session.IsCompleted);
        _device.Release();
        await session.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken);

        _frontend = _backend.Connect();
        using RawRing again = await StartAsync();
        Assert.Equal([1], again.Echo([1]));
    }

    [Fact]
    public async Task SetMemTable_WhileRunning_MovesTheRing()
    {
        using RawRing ring = await StartAsync();
        ring.Echo([1]);
        await _frontend.ShareAsync(_memory);
        Assert.Equal([2], ring.Echo([2]));
        Assert.Equal(2u, await _frontend.StopRingAsync(0));
    }

    [Fact]
    public async Task SetMemTable_ThatLosesARunningRing_IsRefusedAndTheRingGoesOn()
    {
        using RawRing ring = await StartAsync();
        MemoryRegion[] others = [.. _memory.Regions.Skip(1)];
        Assert.NotEqual(0UL, await _frontend.AskAsync(FrontendRequest.SetMemTable, RawFrontend.Table(others), _memory.File, _memory.File));
        Assert.Equal([2], ring.Echo([2]));
    }

    [Fact]
    public async Task MemorySlots_AddedAndRemoved_Serve()
    {
        await _frontend.NegotiateAsync();
        Assert.True(await _frontend.GetAsync(FrontendRequest.GetMaxMemSlots) >= 509);
        foreach (MemoryRegion region in _memory.Regions)
            Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.AddMemReg, RawFrontend.Single(region), _memory.File));

        using RawRing ring = await _frontend.StartRingAsync(DriverRing.Create(_memory, 16));
        Assert.Equal([1], ring.Echo([1]));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.RemMemReg, RawFrontend.Single(_memory.Regions[2])));
        Assert.NotEqual(0UL, await _frontend.AskAsync(FrontendRequest.RemMemReg, RawFrontend.Single(_memory.Regions[2])));
        Assert.NotEqual(0UL, await _frontend.AskAsync(FrontendRequest.RemMemReg, RawFrontend.Single(_memory.Regions[0])));
        Assert.Equal([2], ring.Echo([2]));
    }

    [Fact]
    public async Task MemorySlots_FiveHundredAndNine_AreTaken()
    {
        await _frontend.NegotiateAsync();
        using FileDescriptor file = MemFd.Create("slots", 509 * 4096);
        for (ulong i = 0; i < 509; i++)
            Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.AddMemReg, RawFrontend.Single(Slot(i)), file));

        Assert.NotEqual(0UL, await _frontend.AskAsync(FrontendRequest.AddMemReg, RawFrontend.Single(Slot(600) with { MmapOffset = 0 }), file));
        using RawFrontend _ = _frontend;

        static MemoryRegion Slot(ulong i) => new(new GuestAddress(i * 8192), 4096, new FrontendAddress((i * 8192) + (1UL << 40)), i * 4096);
    }

    [Theory]
    [InlineData(0, 256, 0)]
    [InlineData(4, 8, 1)]
    [InlineData(0, 4096, 2)]
    [InlineData(4000, 96, 0)]
    public async Task GetConfig_AsFrontendsAsk_AnswersZeroFilled(uint offset, uint size, uint flags)
    {
        await _frontend.NegotiateAsync();
        Array.Fill(_device.Config, (byte)0xab);
        byte[] reply = await GetConfigAsync(new ConfigDescription(offset, size, flags));
        Assert.Equal(12 + (int)size, reply.Length);
        for (int i = 0; i < size; i++)
            Assert.Equal(offset + i < 32 ? 0xab : 0, reply[12 + i]);
    }

    [Theory]
    [InlineData(0, 4097, 0)]
    [InlineData(4096, 1, 0)]
    [InlineData(0xffffffff, 16, 0)]
    [InlineData(0, 8, 3)]
    [InlineData(0, 0, 0)]
    public async Task GetConfig_PastTheEnd_AnswersEmptyAndLives(uint offset, uint size, uint flags)
    {
        await _frontend.NegotiateAsync();
        byte[] request = [.. RawFrontend.Bytes(new ConfigDescription(offset, size, flags))];
        _frontend.Send(FrontendRequest.GetConfig, request);
        using (VhostUserMessage reply = await _frontend.ReceiveAsync(FrontendRequest.GetConfig))
            Assert.Equal(0, reply.Payload.Length);

        Assert.Equal(2UL, await _frontend.GetAsync(FrontendRequest.GetQueueNum));
    }

    [Fact]
    public async Task SetConfig_InsideAndPastTheEnd_IsTakenAndRefused()
    {
        await _frontend.NegotiateAsync();
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetConfig, [.. RawFrontend.Bytes(new ConfigDescription(30, 2, 0)), 1, 2]));
        Assert.Equal([1, 2], _device.Config[30..]);
        Assert.NotEqual(0UL, await _frontend.AskAsync(FrontendRequest.SetConfig, [.. RawFrontend.Bytes(new ConfigDescription(31, 2, 0)), 1, 2]));
        Assert.NotEqual(0UL, await _frontend.AskAsync(FrontendRequest.SetConfig, [.. RawFrontend.Bytes(new ConfigDescription(0xffffffff, 2, 0)), 1, 2]));
    }

    [Fact]
    public async Task ConfigChange_ReachesTheFrontend()
    {
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        using var channel = new VhostUserSocket(ours);
        await _frontend.NegotiateAsync();
        await _frontend.ShareAsync(_memory);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetBackendReqFd, [], theirs));
        theirs.Dispose();

        // A suspended back-end sends nothing; the news waits for a ring.
        _device.ChangeConfig();
        using RawRing ring = await _frontend.StartRingAsync(DriverRing.Create(_memory, 16));
        using var deadline = new CancellationTokenSource(RawFrontend.Deadline);
        using VhostUserMessage? first = await channel.ReceiveAsync(static _ => 64, deadline.Token);
        Assert.Equal((uint)BackendRequest.ConfigChangeMsg, first!.Header.Request);
        _device.ChangeConfig();
        using VhostUserMessage? second = await channel.ReceiveAsync(static _ => 64, deadline.Token);
        Assert.Equal((uint)BackendRequest.ConfigChangeMsg, second!.Header.Request);
    }

    [Fact]
    public async Task DpdkOrder_CallsBeforeFeatures_Works()
    {
        using EventFd call = EventFd.Create();
        for (byte i = 0; i < 2; i++)
            _frontend.Send(FrontendRequest.SetVringCall, new VringFd(i, true), false, call.Handle);

        using RawRing ring = await StartAsync();
        Assert.Equal([1], ring.Echo([1]));
    }

    [Fact]
    public async Task ResetDevice_StopsRingsAndResetsTheDevice()
    {
        using RawRing ring = await StartAsync();
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetStatus, new UInt64Payload(15)));
        Assert.Equal(15UL, await _frontend.GetAsync(FrontendRequest.GetStatus));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.ResetDevice, []));
        Assert.Equal(1, _device.Resets);
        Assert.Equal(0UL, await _frontend.GetAsync(FrontendRequest.GetStatus));
        Assert.Equal(0u, await _frontend.StopRingAsync(0));
    }

    [Fact]
    public async Task StatusZero_AsQemuSendsItWhenAGuestPauses_StopsRingsAndForgetsNothing()
    {
        using RawRing ring = await StartAsync();
        Assert.Equal([1], ring.Echo([1]));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetStatus, new UInt64Payload(15)));

        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetStatus, new UInt64Payload(0)));

        Assert.Equal(0UL, await _frontend.GetAsync(FrontendRequest.GetStatus));
        Assert.Equal(1u, await _frontend.StopRingAsync(0));
        Assert.Equal(0, _device.Resets);
    }

    [Fact]
    public async Task Cancellation_EndsTheSession()
    {
        _frontend.Dispose();
        await _backend.Session.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken);
        using var cancel = new CancellationTokenSource();
        _frontend = _backend.ConnectUntil(cancel.Token);
        await _frontend.GetAsync(FrontendRequest.GetFeatures);
        await cancel.CancelAsync();
        await _backend.Session.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken);
        Assert.True(await _frontend.IsHungUpOnAsync());
    }

    [Fact]
    public async Task Offered_ByDefault_LeavesOutWhatQemuAcknowledgesBlindly()
    {
        var offered = (ProtocolFeatures)await _frontend.GetAsync(FrontendRequest.GetProtocolFeatures);
        Assert.False(offered.HasFlag(ProtocolFeatures.InbandNotifications));
        Assert.False(offered.HasFlag(ProtocolFeatures.XenMmap));
        Assert.True(offered.HasFlag(ProtocolFeatures.Config | ProtocolFeatures.Mq | ProtocolFeatures.ReplyAck));
    }

    private async Task<byte[]> GetConfigAsync(ConfigDescription asked)
    {
        _frontend.Send(FrontendRequest.GetConfig, [.. RawFrontend.Bytes(asked), .. new byte[asked.Size]]);
        using VhostUserMessage reply = await _frontend.ReceiveAsync(FrontendRequest.GetConfig);
        return reply.Payload.ToArray();
    }

    private async Task<RawRing> StartAsync()
    {
        await _frontend.NegotiateAsync();
        await _frontend.ShareAsync(_memory);
        return await _frontend.StartRingAsync(DriverRing.Create(_memory, 16));
    }
}
