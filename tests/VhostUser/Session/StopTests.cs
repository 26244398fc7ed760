using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Session;

/// <summary>Stopping rings with requests in flight: handed over (GET_VRING_BASE_INFLIGHT), waited for, or given up.</summary>
public sealed class StopTests : IAsyncLifetime
{
    private const ProtocolFeatures Handover = ProtocolFeatures.InflightShmFd | ProtocolFeatures.GetVringBaseInflight;
    private const int Size = 16;

    private readonly EchoDevice _device = new();
    private readonly TestMemory _memory = new();
    private TestBackend? _backend;
    private FrontendSession? _frontend;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        _device.Release();
        if (_frontend is not null)
            await _frontend.DisposeAsync();

        await _backend!.DisposeAsync();
        _memory.Dispose();
    }

    [Theory]
    [InlineData(0UL, true)]
    [InlineData(0UL, false)]
    [InlineData(VirtioFeatures.InOrder, true)]
    [InlineData(VirtioFeatures.RingPacked, true)]
    [InlineData(VirtioFeatures.RingPacked, false)]
    [InlineData(VirtioFeatures.RingPacked | VirtioFeatures.InOrder, true)]
    public async Task GetVringBase_RequestsLetGoOf_AreDoneByTheNextSession(ulong form, bool anotherSession)
    {
        await OpenAsync(form, Handover);
        using FrontendInflight inflight = await _frontend!.GetInflightAsync(2, Size, Cancel);
        using RawRing ring = await StartAsync(form, inflight);
        for (byte lap = 0; lap < Size + 3; lap++)
            ring.Echo([lap]);

        // Two are kept, one that came later is done: the answer leaves the two.
        (GuestRange first, GuestRange second, GuestRange third) = await PostAsync(ring);
        bool ordered = (form & VirtioFeatures.InOrder) != 0;
        if (!ordered)
            ring.Wait();

        _device.Suspends = true;
        uint stoppedAt = await _frontend.StopRingAsync(0, Cancel);
        Assert.Equal(2, _device.Suspended);
        byte[] shown = _memory.All.ToArray();
        Assert.False(ring.Ring.TryCollect(out _));

        if (anotherSession)
        {
            await _frontend.DisposeAsync();
            await _backend!.Session.WaitAsync(RawFrontend.Deadline, Cancel);

            // Nothing reaches the guest after the answer.
            Assert.True(shown.AsSpan().SequenceEqual(_memory.All));
            await ConnectAsync(form, Handover);
            await _frontend.SetInflightAsync(inflight, Cancel);
            await _frontend.SetMemoryAsync(_memory.Shared, Cancel);
        }

        await _frontend.StartRingAsync(ring.Describe() with { Base = stoppedAt }, Cancel);
        for (int left = ordered ? 3 : 2; left > 0; left--)
            ring.Wait();

        Assert.Equal(1, _memory.Span(first)[0]);
        Assert.Equal(2, _memory.Span(second)[0]);
        Assert.Equal(3, _memory.Span(third)[0]);
        for (byte lap = 0; lap < Size + 3; lap++)
            Assert.Equal([lap], ring.Echo([lap]));
    }

    // A read that is called off may have written some of its buffer already.
    [Fact]
    public async Task GetVringBase_RequestLetGoOfDuringAMigration_LeavesItsPagesInTheLog()
    {
        await OpenAsync(VirtioFeatures.LogAll, Handover | ProtocolFeatures.LogShmFd);
        using FileDescriptor file = MemFd.Create("log", 4096);
        using MappedMemory log = MappedMemory.Map(file, 0, 4096);
        await _frontend!.SetLogAsync(file, 4096, cancellation: Cancel);
        using FrontendInflight inflight = await _frontend.GetInflightAsync(2, Size, Cancel);
        using RawRing ring = await StartAsync(0, inflight);
        _device.Hold = true;
        _memory.Allocate(4096, 4096);
        GuestRange answer = ring.Post([1]);
        Assert.True(SpinWait.SpinUntil(() => _device.Held == 1, RawFrontend.Deadline));
        int page = (int)(answer.Address.Value / 4096);
        Assert.Equal(0, log.Span[page / 8] >> (page % 8) & 1);
        _device.Suspends = true;
        await _frontend.StopRingAsync(0, Cancel);
        Assert.Equal(1, _device.Suspended);
        Assert.Equal(1, log.Span[page / 8] >> (page % 8) & 1);
    }

    [Fact]
    public async Task GetVringBase_SomeNotLetGoOf_WaitsForThose()
    {
        await OpenAsync(0, Handover);
        using FrontendInflight inflight = await _frontend!.GetInflightAsync(2, Size, Cancel);
        using RawRing ring = await StartAsync(0, inflight);
        await PostAsync(ring);
        ring.Wait();
        Task<uint> stopped = _frontend.StopRingAsync(0, Cancel);
        await Assert.ThrowsAsync<TimeoutException>(() => stopped.WaitAsync(TimeSpan.FromMilliseconds(300), Cancel));
        _device.Release();
        await stopped;
        ring.Wait();
        ring.Wait();
        Assert.Equal(0, _device.Suspended);
    }

    [Theory]
    [InlineData((ulong)ProtocolFeatures.InflightShmFd, true)]
    [InlineData((ulong)Handover, false)]
    public async Task GetVringBase_WithoutTheBitOrARegion_WaitsForAll(ulong protocol, bool region)
    {
        var bits = (ProtocolFeatures)protocol;
        await OpenAsync(0, bits);
        using FrontendInflight inflight = await _frontend!.GetInflightAsync(2, Size, Cancel);
        if (!region)
            await ReconnectAsync(0, bits);

        using RawRing ring = await StartAsync(0, region ? inflight : null);
        await PostAsync(ring);
        ring.Wait();
        _device.Suspends = true;
        Task<uint> stopped = _frontend.StopRingAsync(0, Cancel);
        await Assert.ThrowsAsync<TimeoutException>(() => stopped.WaitAsync(TimeSpan.FromMilliseconds(300), Cancel));
        _device.Release();
        Assert.Equal(3U, await stopped);
        Assert.Equal(0, _device.Suspended);
    }

    // The front-end gets neither an answer, which would be a lie, nor silence for ever.
    [Theory]
    [InlineData(nameof(FrontendRequest.GetVringBase))]
    [InlineData(nameof(FrontendRequest.SetStatus))]
    [InlineData(nameof(FrontendRequest.ResetDevice))]
    [InlineData(nameof(FrontendRequest.SetMemTable))]
    public async Task Stop_DeviceHangs_EndsTheConnectionAndKeepsTheMemory(string what)
    {
        _backend = await TestBackend.StartAsync(_device, new SessionOptions { StopTimeout = TimeSpan.FromMilliseconds(300) });
        using RawFrontend raw = _backend.Connect();
        await raw.NegotiateAsync();
        await raw.ShareAsync(_memory);
        using RawRing ring = await raw.StartRingAsync(DriverRing.Create(_memory, Size));
        _device.Hold = true;
        GuestRange answer = ring.Post([7]);
        Assert.True(SpinWait.SpinUntil(() => _device.Held == 1, RawFrontend.Deadline));

        FrontendRequest request = Enum.Parse<FrontendRequest>(what);
        switch (request)
        {
            case FrontendRequest.GetVringBase:
                raw.Send(request, new VringState(0, 0));
                break;
            case FrontendRequest.SetStatus:
                raw.Send(request, new UInt64Payload(0), true);
                break;
            case FrontendRequest.ResetDevice:
                raw.Send(request, [], true);
                break;
            default:
                raw.Send(request, RawFrontend.Table(_memory.Regions), true, RawFrontend.Files(_memory));
                break;
        }

        Assert.True(await raw.IsHungUpOnAsync());
        string[] complaints = [.. _backend.Log.Complaints];
        Assert.Contains(complaints, static line => line.StartsWith("test queue 0: to be stopped, and the device still holds 1 requests after ", StringComparison.Ordinal));
        Assert.Contains(complaints, static line => line.StartsWith("test: the front-end is given up, a queue did not stop within 0.3 s", StringComparison.Ordinal));
        await _backend.Hung!.WaitAsync(RawFrontend.Deadline, Cancel);

        // The device may still be writing: its memory stays, until it has let go.
        Assert.False(_backend.Session.IsCompleted);
        Assert.NotEqual(0UL, OpenFiles.MappedBytesOf(_memory.File) - (ulong)_memory.All.Length);
        _device.Release();
        await _backend.Session.WaitAsync(RawFrontend.Deadline, Cancel);
        Assert.Equal((ulong)_memory.All.Length, OpenFiles.MappedBytesOf(_memory.File));
        Assert.Equal(7, _memory.Span(answer)[0]);
        Assert.Equal(1, OpenFiles.CountOf(ring.Kick));
        Assert.Equal(1, OpenFiles.CountOf(ring.Call));

        // And the device serves the next one.
        using RawFrontend next = _backend.Connect();
        await next.NegotiateAsync();
        await next.ShareAsync(_memory);
        using RawRing again = await next.StartRingAsync(DriverRing.Create(_memory, Size));
        Assert.Equal([1], again.Echo([1]));
    }

    [Fact]
    public async Task HangUp_DeviceHangs_IsLoggedAndEndsWithTheDevice()
    {
        _backend = await TestBackend.StartAsync(_device, new SessionOptions { StopTimeout = TimeSpan.FromMilliseconds(300) });
        RawFrontend raw = _backend.Connect();
        await raw.NegotiateAsync();
        await raw.ShareAsync(_memory);
        using RawRing ring = await raw.StartRingAsync(DriverRing.Create(_memory, Size));
        _device.Hold = true;
        ring.Post([7]);
        Assert.True(SpinWait.SpinUntil(() => _device.Held == 1, RawFrontend.Deadline));
        raw.Dispose();
        await _backend.Hung!.WaitAsync(RawFrontend.Deadline, Cancel);
        Assert.Contains(_backend.Log.Complaints, static line => line.StartsWith("test: the front-end is given up", StringComparison.Ordinal));
        Assert.False(_backend.Session.IsCompleted);
        _device.Release();
        await _backend.Session.WaitAsync(RawFrontend.Deadline, Cancel);
    }

    private async Task<(GuestRange First, GuestRange Second, GuestRange Third)> PostAsync(RawRing ring)
    {
        _device.Hold = true;
        GuestRange first = ring.Post([1]);
        GuestRange second = ring.Post([2]);
        Assert.True(SpinWait.SpinUntil(() => _device.Held == 2, RawFrontend.Deadline));
        _device.Hold = false;
        GuestRange third = ring.Post([3]);
        Assert.True(SpinWait.SpinUntil(() => _memory.Span(third)[0] == 3, RawFrontend.Deadline));
        await _frontend!.GetStatusAsync(Cancel);
        return (first, second, third);
    }

    private async Task<RawRing> StartAsync(ulong form, FrontendInflight? inflight)
    {
        if (inflight is not null)
            await _frontend!.SetInflightAsync(inflight, Cancel);

        await _frontend!.SetMemoryAsync(_memory.Shared, Cancel);
        var ring = new RawRing(DriverRing.Create(_memory, Size, form), 0);
        await _frontend.StartRingAsync(ring.Describe(), Cancel);
        return ring;
    }

    private async Task OpenAsync(ulong form, ProtocolFeatures bits)
    {
        _backend = await TestBackend.StartAsync(_device);
        await ConnectAsync(form, bits);
    }

    private async Task ReconnectAsync(ulong form, ProtocolFeatures bits)
    {
        await _frontend!.DisposeAsync();
        await _backend!.Session.WaitAsync(RawFrontend.Deadline, Cancel);
        await ConnectAsync(form, bits);
    }

    private async Task ConnectAsync(ulong form, ProtocolFeatures bits)
    {
        var wanted = new FrontendOptions { WantedProtocol = bits | ProtocolFeatures.Mq | ProtocolFeatures.ReplyAck | ProtocolFeatures.Status };
        _frontend = _backend!.Open(wanted, Cancel);
        await _frontend.NegotiateAsync(Cancel);
        await _frontend.SetFeaturesAsync(VirtioFeatures.Version1 | form, Cancel);
    }
}
