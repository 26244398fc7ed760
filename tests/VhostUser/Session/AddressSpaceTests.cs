using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Session;

/// <summary>Front-ends that name memory otherwise: by guest address, through an IOMMU, as Xen does; and those that notify in band.</summary>
public sealed class AddressSpaceTests : IAsyncLifetime
{
    private const ulong Iova = 0x70_0000_0000;
    private readonly TestMemory _memory = new();
    private readonly EchoDevice _device = new();
    private TestBackend _backend = null!;
    private RawFrontend _frontend = null!;

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        _frontend.Dispose();
        await _backend.DisposeAsync();
        _memory.Dispose();
    }

    [Fact]
    public async Task GpaAddresses_RingsByGuestAddress_Work()
    {
        await ConnectAsync(new SessionOptions(), without: ProtocolFeatures.None);
        await _frontend.ShareAsync(_memory);
        DriverRing ring = DriverRing.Create(_memory, 16);
        using RawRing raw = await StartAsync(ring, new VringAddress(
            0, 0, new FrontendAddress(ring.Descriptors.Value), new FrontendAddress(ring.Device.Value), new FrontendAddress(ring.Driver.Value), default));
        Assert.Equal([1], raw.Echo([1]));
    }

    [Fact]
    public async Task Iotlb_MissesAreAskedForAndUpdatesGoOn()
    {
        const ulong features = RawFrontend.PlainFeatures | VirtioFeatures.AccessPlatform;
        await ConnectAsync(new SessionOptions { AccessPlatform = true }, features);
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        using var channel = new VhostUserSocket(ours);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetBackendReqFd, [], theirs));
        theirs.Dispose();
        await _frontend.ShareAsync(_memory);

        // The guest sees region 0 shifted. The ring cannot start before its own pages are known.
        DriverRing ring = DriverRing.Create(_memory, 16);
        VringAddress shifted = new(
            0, 0, new FrontendAddress(Iova + ring.Descriptors.Value), new FrontendAddress(Iova + ring.Device.Value), new FrontendAddress(Iova + ring.Driver.Value), default);
        using RawRing raw = await StartAsync(ring, shifted);
        IotlbMessage miss = await MissAsync(channel);
        Assert.Equal(IotlbType.Miss, miss.Type);
        Assert.Equal(Iova + ring.Descriptors.Value, miss.Iova);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.IotlbMsg, Update(0, 0x10000)));

        // A buffer behind an address that is not known yet.
        GuestAddress far = _memory.Allocate(64, 4096);
        while (far.Value < 0x20000)
            far = _memory.Allocate(4096, 4096);

        _memory.Span(far, 4).Fill(0x77);
        GuestRange output = _memory.Buffer(4, writable: true);
        ring.Add(new GuestRange(new GuestAddress(Iova + far.Value), 4, false), output with { Address = new GuestAddress(Iova + far.Value + 64) });
        raw.Kick.Signal();
        while (miss.Iova != Iova + far.Value)
            miss = await MissAsync(channel);

        Assert.Equal(IotlbPermissions.Read, miss.Permissions);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.IotlbMsg, Update(far.Value, 0x1000)));
        Assert.Equal(4u, raw.Wait().Written);
        Assert.Equal(0x77, _memory.Span(far, 68)[64]);

        // The ring's own translation goes: nothing is taken until it is back.
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.IotlbMsg, new IotlbMessage(Iova, 0x10000, default, IotlbPermissions.None, IotlbType.Invalidate)));
        ring.Add(new GuestRange(new GuestAddress(Iova + far.Value), 4, false), new GuestRange(new GuestAddress(Iova + far.Value + 64), 4, true));
        raw.Kick.Signal();
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringEnable, new VringState(0, 1)));
        Assert.False(ring.TryCollect(out _));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.IotlbMsg, Update(0, 0x10000)));
        Assert.Equal(4u, raw.Wait().Written);
        Assert.Equal(2u, await _frontend.StopRingAsync(0));

        // What cannot be true is refused.
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.IotlbMsg, new IotlbMessage(0, 0x1000, new FrontendAddress(1), IotlbPermissions.Read, IotlbType.Update)));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.IotlbMsg, new IotlbMessage(0, 0x1000, default, IotlbPermissions.Read, IotlbType.Miss)));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.IotlbMsg, Update(0, 0) with { Iova = 5 }));
    }

    // A front-end's IOMMU can make any number of pieces of a chain: bounded, and the ring's fault, once and for all.
    [Fact]
    public async Task Iotlb_ScatteringAChainOverThousandsOfPlaces_BreaksTheRing()
    {
        const int Tiny = 1500;
        const ulong Scattered = 0x5000_0000;
        await ConnectAsync(new SessionOptions { AccessPlatform = true }, RawFrontend.PlainFeatures | VirtioFeatures.AccessPlatform);
        await _frontend.ShareAsync(_memory);
        DriverRing ring = DriverRing.Create(_memory, 16);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.IotlbMsg, Update(0, 0x20000)));
        using RawRing raw = await StartAsync(ring, new VringAddress(
            0, 0, new FrontendAddress(Iova + ring.Descriptors.Value), new FrontendAddress(Iova + ring.Device.Value), new FrontendAddress(Iova + ring.Driver.Value), default));
        for (ulong i = 0; i < Tiny; i++)
            Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.IotlbMsg, Update(0x10000 - i, 1) with { Iova = Scattered + i }));

        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringErr, new VringFd(0, true), raw.Error.Handle));
        GuestRange whole = new(new GuestAddress(Scattered), Tiny, Writable: false);
        ring.Add(whole, whole, whole);
        raw.Kick.Signal();
        RawRing.WaitFor(raw.Error, "error signal");
        Assert.Contains($"scatters over more than {VhostUser.Memory.Iotlb.Capacity} places", _backend.Log.Complaints[^1], StringComparison.Ordinal);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringEnable, new VringState(0, 1)));
    }

    [Fact]
    public async Task Iotlb_NotNegotiated_IsRefused()
    {
        await ConnectAsync(new SessionOptions());
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.IotlbMsg, Update(0, 0x1000)));
    }

    [Fact]
    public async Task Inband_KicksAndCallsAsMessages_Work()
    {
        await ConnectAsync(new SessionOptions { InbandNotifications = true });
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        using var channel = new VhostUserSocket(ours);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetBackendReqFd, [], theirs));
        theirs.Dispose();
        await _frontend.ShareAsync(_memory);
        DriverRing ring = DriverRing.Create(_memory, 16);
        using var raw = new RawRing(ring, 0);
        await _frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(0, 16));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, RawFrontend.Address(ring, 0)));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringKick, new VringFd(0, false)));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringCall, new VringFd(0, false)));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringEnable, new VringState(0, 1)));

        raw.Post([1]);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.VringKick, new VringState(0, 0)));
        using var deadline = new CancellationTokenSource(RawFrontend.Deadline);
        using VhostUserMessage? call = await channel.ReceiveAsync(static _ => 64, deadline.Token);
        Assert.Equal((uint)BackendRequest.VringCall, call!.Header.Request);
        Assert.Equal(0u, call.Read<VringState>("VRING_CALL").Index);
        Assert.True(ring.TryCollect(out _));
    }

    [Fact]
    public async Task Inband_WithoutItsPartners_EndsTheSession()
    {
        _backend = await TestBackend.StartAsync(_device, new SessionOptions { InbandNotifications = true });
        _frontend = _backend.Connect();
        _frontend.Send(FrontendRequest.SetProtocolFeatures, new UInt64Payload((ulong)ProtocolFeatures.InbandNotifications));
        Assert.True(await _frontend.IsHungUpOnAsync());
    }

    [Fact]
    public async Task NoKickDescriptor_RingIsPolled()
    {
        await ConnectAsync(new SessionOptions());
        await _frontend.ShareAsync(_memory);
        DriverRing ring = DriverRing.Create(_memory, 16);
        using RawRing raw = await StartAsync(ring, RawFrontend.Address(ring, 0), kick: false);
        raw.Post([1]);
        Assert.Equal(1u, raw.Wait().Written);
    }

    [Fact]
    public async Task Xen_ManyRegionsOfFortyBytes_WithUserAddressZeroAndGuestRings_Work()
    {
        var provider = new XenLikeProvider();
        _backend = await TestBackend.StartAsync(_device, null, provider);
        _frontend = _backend.Connect();
        Assert.True(((ProtocolFeatures)await _frontend.GetAsync(FrontendRequest.GetProtocolFeatures)).HasFlag(ProtocolFeatures.XenMmap));
        await _frontend.NegotiateAsync(RawFrontend.PlainFeatures | VirtioFeatures.AccessPlatform);

        // Three foreign regions and nine grant regions that are mapped on demand and all say address 0, by both numbers of the flag.
        MemoryRegion[] regions =
        [
            .. _memory.Regions.Select(static region => region with { XenFlags = XenMmapFlags.Foreign, XenDomain = 7 }),
            .. Enumerable.Range(0, 9).Select(static i => new MemoryRegion(
                new GuestAddress((1UL << 63) | ((ulong)i << 32)), 1 << 20, default, 0,
                XenMmapFlags.Grant | (i % 2 == 0 ? XenMmapFlags.NoAdvanceMap : XenMmapFlags.NoAdvanceMapRustVmm), 7)),
        ];
        FileDescriptor[] files = [.. regions.Select(_ => _memory.File)];
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetMemTable, RawFrontend.Table(regions, xen: true), files));
        Assert.Equal(9, provider.OnDemand);

        // Ring addresses are guest-physical and no IOTLB is asked, although ACCESS_PLATFORM is on.
        DriverRing ring = DriverRing.Create(_memory, 16);
        using RawRing raw = await StartAsync(ring, new VringAddress(
            0, 0, new FrontendAddress(ring.Descriptors.Value), new FrontendAddress(ring.Device.Value), new FrontendAddress(ring.Driver.Value), default));
        Assert.Equal([1], raw.Echo([1]));
        var unknown = regions[0] with { GuestAddress = new GuestAddress(0x99_0000_0000), XenFlags = (XenMmapFlags)0x40 };
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.AddMemReg, RawFrontend.Single(unknown, xen: true), _memory.File));
    }

    [Fact]
    public async Task Xen_AcknowledgedByAFrontendThatSendsPlainRegions_Works()
    {
        // QEMU acknowledges bit 17 blindly and goes on with 32-byte regions.
        _backend = await TestBackend.StartAsync(_device, null, new XenLikeProvider());
        _frontend = _backend.Connect();
        await _frontend.NegotiateAsync();
        await _frontend.ShareAsync(_memory);
        using RawRing raw = await _frontend.StartRingAsync(DriverRing.Create(_memory, 16));
        Assert.Equal([1], raw.Echo([1]));
    }

    private static async Task<IotlbMessage> MissAsync(VhostUserSocket channel)
    {
        using var deadline = new CancellationTokenSource(RawFrontend.Deadline);
        using VhostUserMessage? message = await channel.ReceiveAsync(static _ => 64, deadline.Token);
        Assert.Equal((uint)BackendRequest.IotlbMsg, message!.Header.Request);
        return message.Read<IotlbMessage>("IOTLB_MSG");
    }

    private IotlbMessage Update(ulong guest, ulong size) => new(
        Iova + guest, size, new FrontendAddress(_memory.Regions[0].UserAddress.Value + guest), IotlbPermissions.Read | IotlbPermissions.Write, IotlbType.Update);

    private async Task ConnectAsync(SessionOptions options, ulong features = RawFrontend.PlainFeatures, ProtocolFeatures without = ProtocolFeatures.GpaAddresses)
    {
        _backend = await TestBackend.StartAsync(_device, options);
        _frontend = _backend.Connect();
        await _frontend.NegotiateAsync(features, without);
    }

    private async Task<RawRing> StartAsync(DriverRing ring, VringAddress address, bool kick = true)
    {
        var raw = new RawRing(ring, 0);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(0, (uint)ring.Size)));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, address));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringCall, new VringFd(0, true), raw.Call.Handle));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringKick, new VringFd(0, kick), kick ? [raw.Kick.Handle] : []));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringEnable, new VringState(0, 1)));
        return raw;
    }

    /// <summary>Maps what Xen would map foreign as the file that came along, and grants not at all.</summary>
    private sealed class XenLikeProvider : IGuestMemoryProvider
    {
        private readonly SharedFileProvider _files = new();

        public bool SupportsXenMmap => true;

        public int OnDemand { get; private set; }

        public RegionMapping Map(in MemoryRegion region, FileDescriptor fd)
        {
            if (!region.XenFlags.HasFlag(XenMmapFlags.NoAdvanceMap))
                return _files.Map(region with { XenFlags = XenMmapFlags.None }, fd);

            OnDemand++;
            return new Nothing();
        }

        private sealed class Nothing : RegionMapping
        {
            public override void Dispose()
            {
            }
        }
    }
}
