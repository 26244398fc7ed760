using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Session;

/// <summary>Both sides of the library against each other: every verb of the front-end, on a back-end that can do it.</summary>
public sealed class FrontendSessionTests : IAsyncLifetime
{
    private const ulong Plain = VirtioFeatures.Version1;
    private const ulong Iova = 0x7000_0000_0000;

    private readonly EchoDevice _device = new();
    private readonly TestMemory _memory = new();
    private readonly FrontendRecorder _handler = new();
    private TestBackend? _backend;
    private FrontendSession _frontend = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        _device.Release();
        await _frontend.DisposeAsync();
        await _backend!.DisposeAsync();
        _memory.Dispose();
    }

    [Fact]
    public async Task Negotiate_AgreesOnWhatBothHave()
    {
        await OpenAsync(wanted: new FrontendOptions().WantedProtocol | ProtocolFeatures.XenMmap | ProtocolFeatures.InbandNotifications);
        Assert.Equal(2, _frontend.QueueCount);
        Assert.True(_frontend.Has(ProtocolFeatures.Mq | ProtocolFeatures.ReplyAck | ProtocolFeatures.Config | ProtocolFeatures.InflightShmFd));
        Assert.False(_frontend.Has(ProtocolFeatures.XenMmap));
        Assert.False(_frontend.Has(ProtocolFeatures.InbandNotifications));
        Assert.Equal(RawFrontend.PlainFeatures, _device.NegotiatedFeatures);

        // What the back-end does not offer is left out rather than refused.
        await _frontend.SetFeaturesAsync(Plain | VirtioFeatures.RingPacked | VirtioFeatures.SrIov, Cancel);
        Assert.Equal(RawFrontend.PlainFeatures | VirtioFeatures.RingPacked, _device.NegotiatedFeatures);
        Assert.Equal(_device.NegotiatedFeatures, _frontend.Features);
    }

    [Theory]
    [InlineData(0UL, 16)]
    [InlineData(VirtioFeatures.EventIdx | VirtioFeatures.IndirectDesc, 1024)]
    [InlineData(VirtioFeatures.InOrder, 32768)]
    [InlineData(VirtioFeatures.RingPacked, 100)]
    [InlineData(VirtioFeatures.RingPacked | VirtioFeatures.InOrder, 32768)]
    public async Task Ring_OfEveryForm_AnswersStopsAndGoesOn(ulong form, int size)
    {
        await OpenAsync(form | Plain);
        await _frontend.SetMemoryAsync(_memory.Shared, Cancel);
        using var ring = new RawRing(DriverRing.Create(_memory, size, form), 0);
        FrontendRing start = ring.Describe();
        await _frontend.StartRingAsync(start, Cancel);
        Assert.Equal([1, 2, 3], ring.Echo([1, 2, 3]));

        uint stoppedAt = await _frontend.StopRingAsync(0, Cancel);
        Assert.NotEqual(start.Base, stoppedAt);
        GuestRange answer = ring.Post([4]);
        await _frontend.StartRingAsync(start with { Base = stoppedAt }, Cancel);
        ring.Wait();
        Assert.Equal(4, _memory.Span(answer)[0]);
    }

    [Fact]
    public async Task EnableRing_Off_TakesNothing()
    {
        using RawRing ring = await StartAsync();
        await _frontend.EnableRingAsync(0, enabled: false, Cancel);
        ring.Post([1]);
        await _frontend.GetStatusAsync(Cancel);
        Assert.False(ring.Ring.TryCollect(out _));
        await _frontend.EnableRingAsync(0, enabled: true, Cancel);
        ring.Wait();
    }

    [Fact]
    public async Task SetCall_Replaced_SignalsTheNewOne()
    {
        using RawRing ring = await StartAsync();
        using var call = EventFd.Create();
        await _frontend.SetCallAsync(0, call, Cancel);
        Assert.Equal(2, OpenFiles.CountOf(call));
        Assert.Equal(1, OpenFiles.CountOf(ring.Call));

        // The change itself signals once, since a signal to the old one may have been lost.
        RawRing.WaitFor(call, "call for the change");
        ring.Ring.AllowInterrupts();
        ring.Post([1]);
        RawRing.WaitFor(call, "call");
        Assert.True(ring.Ring.TryCollect(out _));
    }

    [Fact]
    public async Task StartRing_WithoutKick_IsPolled()
    {
        await OpenAsync();
        await _frontend.SetMemoryAsync(_memory.Shared, Cancel);
        using var ring = new RawRing(DriverRing.Create(_memory, 16), 0);
        await _frontend.StartRingAsync(ring.Describe() with { Kick = null }, Cancel);
        ring.Echo([1]);
    }

    [Fact]
    public async Task Memory_AddedAndRemoved_IsThereAndGone()
    {
        await OpenAsync();
        await _frontend.SetMemoryAsync([_memory.Shared[0]], Cancel);
        using var ring = new RawRing(DriverRing.Create(_memory, 16), 0);
        await _frontend.StartRingAsync(ring.Describe(), Cancel);
        Assert.InRange(await _frontend.GetMaxMemorySlotsAsync(Cancel), 32, 100_000);

        await _frontend.AddMemoryAsync(_memory.Shared[1], Cancel);
        GuestRange far = _memory.Buffer(4, writable: true, region: 1);
        Assert.Equal(4u, await EchoIntoAsync(ring, far));
        await _frontend.RemoveMemoryAsync(_memory.Regions[1], Cancel);
        await Assert.ThrowsAsync<FrontendException>(() => _frontend.RemoveMemoryAsync(_memory.Regions[1], Cancel));

        // The ring's own region stays: what a guest still uses cannot be taken away.
        await Assert.ThrowsAsync<FrontendException>(() => _frontend.RemoveMemoryAsync(_memory.Regions[0], Cancel));
        Assert.Equal([9], ring.Echo([9]));
    }

    [Fact]
    public async Task Config_ReadAndWritten_PartByPart()
    {
        await OpenAsync();
        await _frontend.SetConfigAsync(4, new byte[] { 1, 2, 3 }, Cancel);
        Assert.Equal([1, 2, 3], _device.Config[4..7]);
        Assert.Equal([2, 3, 0], await _frontend.GetConfigAsync(5, 3, Cancel));
        Assert.Equal(FrontendSession.MaxConfigSize, (await _frontend.GetConfigAsync(0, FrontendSession.MaxConfigSize, Cancel)).Length);
        Assert.Equal(new byte[200], await _frontend.GetConfigAsync(1000, 200, Cancel));
        await Assert.ThrowsAsync<FrontendException>(() => _frontend.GetConfigAsync(4096, 4, Cancel));
        await Assert.ThrowsAsync<FrontendException>(() => _frontend.SetConfigAsync(31, new byte[2], Cancel));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => _frontend.GetConfigAsync(0, FrontendSession.MaxConfigSize + 1, Cancel));
    }

    [Fact]
    public async Task Status_SetAndAsked_AndZeroStopsRings()
    {
        using RawRing ring = await StartAsync();
        await _frontend.SetStatusAsync(0xf, Cancel);
        Assert.Equal(0xf, await _frontend.GetStatusAsync(Cancel));
        await _frontend.SetStatusAsync(0, Cancel);
        Assert.Equal(0, await _frontend.GetStatusAsync(Cancel));
        ring.Post([1]);
        await _frontend.GetStatusAsync(Cancel);
        Assert.False(ring.Ring.TryCollect(out _));
    }

    [Theory]
    [InlineData(ProtocolFeatures.None, 1)]
    [InlineData(ProtocolFeatures.ResetDevice, 0)]
    public async Task Reset_NewOrOld_TakesNothingMore(ProtocolFeatures without, int resets)
    {
        await OpenAsync(wanted: new FrontendOptions().WantedProtocol & ~without);
        using RawRing ring = await StartRingAsync();
        await _frontend.ResetDeviceAsync(Cancel);
        Assert.Equal(resets, _device.Resets);
        ring.Post([1]);
        await _frontend.GetStatusAsync(Cancel);
        Assert.False(ring.Ring.TryCollect(out _));
    }

    [Fact]
    public async Task Log_TurnedOnWhileRunning_MarksWhatIsWritten()
    {
        using RawRing ring = await StartAsync();
        using FileDescriptor file = MemFd.Create("log", 0x40000);
        using MappedMemory log = MappedMemory.Map(file, 0, 0x40000);
        await _frontend.SetLogAsync(file, 0x40000, cancellation: Cancel);
        await _frontend.SetFeaturesAsync(Plain | VirtioFeatures.LogAll, Cancel);
        await _frontend.SetRingAddressesAsync(ring.Describe() with { LogAddress = new GuestAddress(0x20000) }, Cancel);
        GuestRange answer = ring.Post([1]);
        ring.Wait();
        Assert.True(IsDirty(log, answer.Address.Value));
        Assert.True(IsDirty(log, 0x20000));
        Assert.False(IsDirty(log, 0x30000));
        await Assert.ThrowsAsync<FrontendException>(() => _frontend.SetLogAsync(file, 0x80000, cancellation: Cancel));
    }

    [Fact]
    public async Task Iotlb_MissesAnswered_RequestsGoOn()
    {
        await OpenAsync(Plain | VirtioFeatures.AccessPlatform, new SessionOptions { AccessPlatform = true });
        await _frontend.SetMemoryAsync(_memory.Shared, Cancel);
        using var ring = new RawRing(DriverRing.Create(_memory, 16), 0);
        DriverRing driver = ring.Ring;
        await _frontend.StartRingAsync(
            ring.Describe() with
            {
                Descriptors = new FrontendAddress(Iova + driver.Descriptors.Value),
                Available = new FrontendAddress(Iova + driver.Driver.Value),
                Used = new FrontendAddress(Iova + driver.Device.Value),
            },
            Cancel);
        Assert.Equal((Iova + driver.Descriptors.Value, false), await _handler.NextAsync<(ulong, bool)>(m => m.Item1 == Iova + driver.Descriptors.Value, Cancel));
        ulong size = _memory.Regions[0].Size;
        await _frontend.UpdateIotlbAsync(Iova, size, _memory.Regions[0].UserAddress, read: true, write: true, Cancel);

        GuestRange input = _memory.Buffer(4, writable: false);
        GuestRange output = _memory.Buffer(4, writable: true);
        _memory.Span(input).Fill(7);
        driver.Add(input with { Address = new GuestAddress(Iova + input.Address.Value) }, output with { Address = new GuestAddress(Iova + output.Address.Value) });
        ring.Kick.Signal();
        ring.Wait();
        Assert.Equal([7, 7, 7, 7], _memory.Span(output).ToArray());

        await _frontend.InvalidateIotlbAsync(Iova, size, Cancel);
        driver.Add(output with { Address = new GuestAddress(Iova + output.Address.Value) });
        ring.Kick.Signal();
        await _frontend.GetStatusAsync(Cancel);
        Assert.False(driver.TryCollect(out _));
        await Assert.ThrowsAsync<FrontendException>(() => _frontend.UpdateIotlbAsync(0, 4096, new FrontendAddress(1), true, true, Cancel));
    }

    [Fact]
    public async Task State_SavedAndLoaded_IsTheSame()
    {
        await OpenAsync();
        byte[] state = [.. Enumerable.Range(0, 300_000).Select(static i => (byte)i)];
        _device.State = state;
        Assert.Equal(state, await _frontend.SaveStateAsync(cancellation: Cancel));
        _device.State = [];
        await _frontend.LoadStateAsync(state, Cancel);
        Assert.Equal(state, _device.State);

        // More than the caller wants; and the session goes on.
        await Assert.ThrowsAsync<FrontendException>(() => _frontend.SaveStateAsync(limit: 1000, Cancel));
        await _frontend.GetStatusAsync(Cancel);
    }

    [Fact]
    public async Task State_WhileRingsRun_IsRefused()
    {
        using RawRing ring = await StartAsync();
        await Assert.ThrowsAsync<FrontendException>(() => _frontend.SaveStateAsync(cancellation: Cancel));
        await Assert.ThrowsAsync<FrontendException>(() => _frontend.LoadStateAsync(new byte[1], Cancel));
        Assert.Equal([1], ring.Echo([1]));
    }

    [Fact]
    public async Task Inband_KicksCallsAndErrors_AreMessages()
    {
        await OpenAsync(session: new SessionOptions { InbandNotifications = true }, wanted: new FrontendOptions().WantedProtocol | ProtocolFeatures.InbandNotifications);
        await _frontend.SetMemoryAsync(_memory.Shared, Cancel);
        using var ring = new RawRing(DriverRing.Create(_memory, 16), 0);
        await _frontend.StartRingAsync(ring.Describe() with { Kick = null, Call = null, Error = null }, Cancel);
        ring.Post([1]);
        await _frontend.KickInBandAsync(0, Cancel);
        Assert.Equal("call 0", await _handler.NextAsync<string>(static _ => true, Cancel));
        Assert.True(ring.Ring.TryCollect(out _));

        ring.Ring.Tell(RingLie.HeadOutsideTable);
        await _frontend.KickInBandAsync(0, Cancel);
        Assert.Equal("error 0", await _handler.NextAsync<string>(static _ => true, Cancel));
    }

    [Fact]
    public async Task Channel_ConfigChange_ReachesTheHandler()
    {
        using RawRing ring = await StartAsync();
        _device.ChangeConfig();
        Assert.Equal("config", await _handler.NextAsync<string>(static _ => true, Cancel));
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(VirtioFeatures.RingPacked)]
    public async Task Inflight_HandedToTheNextBackend_IsDoneAgain(ulong form)
    {
        await OpenAsync(Plain | form);
        using FrontendInflight inflight = await _frontend.GetInflightAsync(2, 16, Cancel);
        await _frontend.SetInflightAsync(inflight, Cancel);
        await _frontend.SetMemoryAsync(_memory.Shared, Cancel);
        using var ring = new RawRing(DriverRing.Create(_memory, 16, form), 0);
        await _frontend.StartRingAsync(ring.Describe(), Cancel);
        ring.Echo([1]);
        _device.Hold = true;
        GuestRange first = ring.Post([2]);
        GuestRange second = ring.Post([3]);
        Assert.True(SpinWait.SpinUntil(() => _device.Held == 2, RawFrontend.Deadline));

        // The back-end "dies": its successor gets memory and region as they are now, and nothing that came later.
        byte[] guest = _memory.All.ToArray();
        using MappedMemory region = MappedMemory.Map(inflight.File, 0, (nuint)inflight.Size);
        byte[] left = region.Span.ToArray();
        await _frontend.DisposeAsync();
        _device.Release();
        await _backend!.Session.WaitAsync(RawFrontend.Deadline, Cancel);
        guest.CopyTo(_memory.All);
        left.CopyTo(region.Span);

        _frontend = _backend.Open(new FrontendOptions { Handler = _handler }, Cancel);
        await _frontend.NegotiateAsync(Cancel);
        await _frontend.SetFeaturesAsync(Plain | form, Cancel);
        await _frontend.SetInflightAsync(inflight, Cancel);
        await _frontend.SetMemoryAsync(_memory.Shared, Cancel);
        await _frontend.StartRingAsync(ring.Describe(), Cancel);
        ring.Wait();
        ring.Wait();
        Assert.Equal(2, _memory.Span(first)[0]);
        Assert.Equal(3, _memory.Span(second)[0]);
        Assert.Equal([4], ring.Echo([4]));
    }

    [Fact]
    public async Task Inflight_Impossible_IsSaid()
    {
        await OpenAsync();
        await Assert.ThrowsAsync<FrontendException>(() => _frontend.GetInflightAsync(9, 16, Cancel));
        using FrontendInflight inflight = await _frontend.GetInflightAsync(1, 16, Cancel);
        using RawRing ring = await StartRingAsync();
        await Assert.ThrowsAsync<FrontendException>(() => _frontend.SetInflightAsync(inflight, Cancel));
    }

    [Fact]
    public async Task Backend_WithoutAcknowledgements_IsInStepAllTheSame()
    {
        await OpenAsync(session: new SessionOptions { WithoutProtocolFeatures = ProtocolFeatures.ReplyAck });
        Assert.False(_frontend.Has(ProtocolFeatures.ReplyAck));
        using RawRing ring = await StartRingAsync();
        Assert.Equal([1], ring.Echo([1]));

        // Not acknowledged, and still done when the call returns.
        using var call = EventFd.Create();
        await _frontend.SetCallAsync(0, call, Cancel);
        Assert.Equal(1, OpenFiles.CountOf(ring.Call));
        Assert.Equal(2, OpenFiles.CountOf(call));
    }

    [Fact]
    public async Task Feature_NotNegotiated_IsAnExceptionAndNoMessage()
    {
        await OpenAsync(wanted: ProtocolFeatures.ReplyAck);
        using FileDescriptor file = MemFd.Create("file", 4096);
        using var inflight = new FrontendInflight(file.Duplicate(), 4096, 0, 1, 16);
        Func<Task>[] verbs =
        [
            () => _frontend.GetConfigAsync(0, 4, Cancel),
            () => _frontend.SetConfigAsync(0, new byte[4], Cancel),
            () => _frontend.GetStatusAsync(Cancel),
            () => _frontend.SetStatusAsync(1, Cancel),
            () => _frontend.SetMtuAsync(1500, Cancel),
            () => _frontend.SendRarpAsync(new byte[6], Cancel),
            () => _frontend.GetSharedMemorySizesAsync(Cancel),
            () => _frontend.GetInflightAsync(1, 16, Cancel),
            () => _frontend.SetInflightAsync(inflight, Cancel),
            () => _frontend.SaveStateAsync(cancellation: Cancel),
            () => _frontend.LoadStateAsync(new byte[1], Cancel),
            () => _frontend.AddMemoryAsync(_memory.Shared[0], Cancel),
            () => _frontend.RemoveMemoryAsync(_memory.Regions[0], Cancel),
            () => _frontend.SetLogAsync(file, 4096, cancellation: Cancel),
            () => _frontend.KickInBandAsync(0, Cancel),
        ];
        foreach (Func<Task> verb in verbs)
        {
            FrontendException e = await Assert.ThrowsAsync<FrontendException>(verb);
            Assert.Contains("has not been negotiated", e.Message, StringComparison.Ordinal);
        }

        Assert.Equal(8, await _frontend.GetMaxMemorySlotsAsync(Cancel));
        Assert.Equal(1, _frontend.QueueCount);
        using RawRing ring = await StartRingAsync();
        Assert.Equal([1], ring.Echo([1]));
    }

    [Fact]
    public async Task Refusal_IsAnExceptionAndTheSessionGoesOn()
    {
        await OpenAsync();
        FrontendException e = await Assert.ThrowsAsync<FrontendException>(() => _frontend.EnableRingAsync(77, true, Cancel));
        Assert.Contains("refused SET_VRING_ENABLE", e.Message, StringComparison.Ordinal);
        using RawRing ring = await StartRingAsync();
        Assert.Equal([1], ring.Echo([1]));
    }

    [Fact]
    public async Task Verbs_FromManyThreads_DoNotMixTheirAnswers()
    {
        await OpenAsync();
        await Task.WhenAll(Enumerable.Range(0, 200).Select(i => Task.Run(
            async () =>
            {
                if (i % 3 == 0)
                    Assert.Equal(i % 30, (await _frontend.GetConfigAsync(i % 30, 2, Cancel)).Length - 2 + (i % 30));
                else if (i % 3 == 1)
                    Assert.Equal(0, await _frontend.GetStatusAsync(Cancel));
                else
                    await _frontend.EnableRingAsync(1, i % 2 == 0, Cancel);
            },
            Cancel)));
    }

    [Fact]
    public async Task Closed_BackendEnds_CompletesWithNothing()
    {
        using var stop = new CancellationTokenSource();
        _backend = await TestBackend.StartAsync(_device);
        _frontend = _backend.Open(null, stop.Token);
        await _frontend.NegotiateAsync(Cancel);
        Assert.False(_frontend.Closed.IsCompleted);
        await stop.CancelAsync();
        Assert.Null(await _frontend.Closed.WaitAsync(RawFrontend.Deadline, Cancel));
        await Assert.ThrowsAsync<FrontendException>(() => _frontend.GetStatusAsync(Cancel));
    }

    private async Task OpenAsync(ulong features = Plain, SessionOptions? session = null, ProtocolFeatures? wanted = null)
    {
        _backend = await TestBackend.StartAsync(_device, session);
        var options = new FrontendOptions { Handler = _handler };
        _frontend = _backend.Open(new FrontendOptions { Handler = _handler, WantedProtocol = wanted ?? options.WantedProtocol }, Cancel);
        await _frontend.NegotiateAsync(Cancel);
        await _frontend.SetFeaturesAsync(features, Cancel);
    }

    private async Task<RawRing> StartAsync()
    {
        await OpenAsync();
        return await StartRingAsync();
    }

    private async Task<RawRing> StartRingAsync()
    {
        await _frontend.SetMemoryAsync(_memory.Shared, Cancel);
        var ring = new RawRing(DriverRing.Create(_memory, 16), 0);
        await _frontend.StartRingAsync(ring.Describe(), Cancel);
        return ring;
    }

    private async Task<uint> EchoIntoAsync(RawRing ring, GuestRange output)
    {
        GuestRange input = _memory.Buffer((int)output.Length, writable: false);
        ring.Ring.Add(input, output);
        ring.Kick.Signal();
        return await Task.Run(() => ring.Wait().Written, Cancel);
    }

    private static bool IsDirty(MappedMemory log, ulong address) => ((log.Span[(int)(address >> 15)] >> (int)((address >> 12) & 7)) & 1) != 0;
}
