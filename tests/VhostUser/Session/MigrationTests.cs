using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;
using Xunit;
using static VhostXen.Linux.LibC;

namespace VhostUser.Tests.Session;

public sealed class MigrationTests : IAsyncLifetime
{
    private readonly EchoDevice _device = new();
    private readonly TestMemory _memory = new((0UL, 2UL << 20), (0x1_0000_0000UL, 1UL << 20));
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
    public async Task DirtyLog_TurnedOnWhileRunning_MarksBuffersAndUsedRing()
    {
        await _frontend.ShareAsync(_memory);
        using RawRing ring = await _frontend.StartRingAsync(DriverRing.Create(_memory, 16));
        using FileDescriptor file = MemFd.Create("log", 0x40000);
        using MappedMemory log = MappedMemory.Map(file, 0, 0x40000);
        ring.Echo([1]);

        // As QEMU does it: the bitmap, the feature, then every ring's address again with the flag. The ring's pages
        // are logged where the message says, which may be no memory at all.
        _frontend.Send(FrontendRequest.SetLogBase, new LogDescription(0x40000, 0), false, file);
        Assert.Equal(0UL, await _frontend.ReceiveStatusAsync(FrontendRequest.SetLogBase));
        const ulong RingLog = 0x1234_5000;
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetFeatures, new UInt64Payload(RawFrontend.PlainFeatures | VirtioFeatures.LogAll)));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, RawFrontend.Address(ring.Ring, 0, VringAddress.LogFlag, RingLog)));
        GuestRange answer = ring.Post([2]);
        ring.Wait();

        HashSet<ulong> dirty = Dirty(log);
        Assert.Contains(answer.Address.Value >> 12, dirty);
        Assert.Contains(RingLog >> 12, dirty);
        Assert.All(dirty, page => Assert.True(page == answer.Address.Value >> 12 || page == RingLog >> 12, $"page {page}"));

        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringAddr, RawFrontend.Address(ring.Ring, 0)));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetFeatures, new UInt64Payload(RawFrontend.PlainFeatures)));
        log.Span.Clear();
        ring.Echo([3]);
        Assert.Empty(Dirty(log));
    }

    [Fact]
    public async Task DirtyLog_Replaced_UnmapsTheOldOne()
    {
        using FileDescriptor first = MemFd.Create("log", 4096);
        using FileDescriptor second = MemFd.Create("log", 4096);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetLogBase, new LogDescription(4096, 0), first));
        Assert.Equal(4096UL, OpenFiles.MappedBytesOf(first));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetLogBase, new LogDescription(4096, 0), second));
        Assert.Equal(0UL, OpenFiles.MappedBytesOf(first));
    }

    [Fact]
    public async Task SetLogBase_WithoutShmFd_IsRefused()
        => Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.SetLogBase, new byte[8]));

    [Theory]
    [InlineData(20)]
    [InlineData(24)]
    public async Task GetInflight_OfEitherLength_AnswersTheSame(int length)
    {
        byte[] request = RawFrontend.Bytes(new InflightDescription(0, 0, 1, 16))[..length];
        _frontend.Send(FrontendRequest.GetInflightFd, request);
        using VhostUserMessage reply = await _frontend.ReceiveAsync(FrontendRequest.GetInflightFd);
        Assert.Equal(length, reply.Payload.Length);
        InflightDescription made = reply.Read<InflightDescription>("GET_INFLIGHT_FD");
        Assert.Equal(new InflightDescription(320, 0, 1, 16), made);
        using FileDescriptor file = reply.Fds.Take();
        Assert.Equal(320UL, FileIO.Stat(file).stx_size);
        Assert.Equal(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, MemFd.GetSeals(file));
    }

    [Fact]
    public async Task GetInflight_Impossible_AnswersNoBytesAndNoFile()
    {
        _frontend.Send(FrontendRequest.GetInflightFd, new InflightDescription(0, 0, 9, 16));
        using VhostUserMessage reply = await _frontend.ReceiveAsync(FrontendRequest.GetInflightFd);
        Assert.Equal(0UL, reply.Read<InflightDescription>("GET_INFLIGHT_FD").MmapSize);
        Assert.Equal(0, reply.Fds.Count);
    }

    [Fact]
    public async Task Inflight_SmallerThanTheRing_KeepsTheRingFromStarting()
    {
        await _frontend.ShareAsync(_memory);
        using FileDescriptor file = MemFd.Create("inflight", 4096);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetInflightFd, new InflightDescription(320, 0, 1, 16), file));
        await Assert.ThrowsAsync<InvalidOperationException>(() => _frontend.StartRingAsync(DriverRing.Create(_memory, 32)));
        Assert.Contains("does not fit the in-flight region", _backend.Log.Complaints[^1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(VirtioFeatures.RingPacked)]
    public async Task Inflight_LeftByADeadBackend_IsSubmittedAgain(ulong form)
    {
        await _frontend.NegotiateAsync(RawFrontend.PlainFeatures | form);
        _frontend.Send(FrontendRequest.GetInflightFd, new InflightDescription(0, 0, 2, 16));
        InflightDescription made;
        FileDescriptor region;
        using (VhostUserMessage reply = await _frontend.ReceiveAsync(FrontendRequest.GetInflightFd))
        {
            made = reply.Read<InflightDescription>("GET_INFLIGHT_FD");
            region = reply.Fds.Take();
        }

        using FileDescriptor file = region;
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetInflightFd, made, file));
        await _frontend.ShareAsync(_memory);
        using RawRing ring = await _frontend.StartRingAsync(DriverRing.Create(_memory, 16, form));
        ring.Echo([1]);
        _device.Hold = true;
        GuestRange first = ring.Post([2]);
        GuestRange second = ring.Post([3]);
        Assert.True(SpinWait.SpinUntil(() => _device.Held == 2, RawFrontend.Deadline));

        // The back-end "dies" here: what it had written into region and ring is all that its successor gets.
        byte[] guest = _memory.All.ToArray();
        using MappedMemory live = MappedMemory.Map(file, 0, (nuint)made.MmapSize);
        byte[] left = live.Span.ToArray();
        _frontend.Dispose();
        _device.Release();
        await _backend.Session.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken);
        guest.CopyTo(_memory.All);
        left.CopyTo(live.Span);

        _frontend = _backend.Connect();
        await _frontend.NegotiateAsync(RawFrontend.PlainFeatures | form);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetInflightFd, made, file));
        await _frontend.ShareAsync(_memory);
        await _frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(0, 16));
        await _frontend.AskAsync(FrontendRequest.SetVringBase, new VringState(0, ring.Ring.InitialBase));
        await _frontend.StartRingAsync(ring);
        ring.Wait();
        ring.Wait();
        Assert.Equal(2, _memory.Span(first)[0]);
        Assert.Equal(3, _memory.Span(second)[0]);
        Assert.Equal([4], ring.Echo([4]));
    }

    [Fact]
    public async Task DeviceState_SavedAndLoaded_IsTheSame()
    {
        _device.State = [.. Enumerable.Range(0, 200_000).Select(static i => (byte)i)];
        byte[] saved = await SaveAsync();
        Assert.Equal(_device.State, saved);

        _device.State = [];
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        Assert.Equal(0x100UL, await TransferAsync(DeviceStateDirection.Load, theirs));
        await Task.Run(() => { using Stream pipe = Open(ours, FileAccess.Write); pipe.Write(saved); }, TestContext.Current.CancellationToken);
        Assert.Equal(0UL, await _frontend.GetAsync(FrontendRequest.CheckDeviceState));
        Assert.Equal(saved, _device.State);
    }

    [Fact]
    public async Task DeviceState_PeerNeverCloses_EndsWithTheSession()
    {
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        using (ours)
        {
            Assert.Equal(0x100UL, await TransferAsync(DeviceStateDirection.Load, theirs));
            _frontend.Send(FrontendRequest.CheckDeviceState, []);
            _frontend.Dispose();
            await _backend.Session.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken);
        }
    }

    [Theory]
    [InlineData("/dev/zero", false)]
    [InlineData("/dev/null", true)]
    public void DeviceState_PeerThatAlwaysHasMore_EndsWhenCancelled(string path, bool writable)
    {
        using var session = new CancellationTokenSource();
        using var stream = new VhostUser.Session.DescriptorStream(FileDescriptor.Open(path, O_RDWR), writable, session.Token);
        Move();
        session.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(Move);

        void Move()
        {
            byte[] some = new byte[16];
            if (writable)
                stream.Write(some);
            else
                stream.ReadExactly(some);
        }
    }

    [Fact]
    public async Task DeviceState_WhileRingsRun_IsRefused()
    {
        await _frontend.ShareAsync(_memory);
        using RawRing ring = await _frontend.StartRingAsync(DriverRing.Create(_memory, 16));
        using var probe = new DescriptorProbe();
        Assert.Equal(0x101UL, await TransferAsync(DeviceStateDirection.Save, probe.Descriptor));
        Assert.True(probe.IsClosedByPeer(RawFrontend.Deadline));
        Assert.Equal(1UL, await _frontend.GetAsync(FrontendRequest.CheckDeviceState));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Postcopy_FaultsAreServedByTheFrontend(bool oneByOne)
    {
        var offered = (ProtocolFeatures)await _frontend.GetAsync(FrontendRequest.GetProtocolFeatures);
        Assert.SkipUnless(offered.HasFlag(ProtocolFeatures.PageFault), "userfaultfd is not permitted here");

        _frontend.Send(FrontendRequest.PostcopyAdvise, []);
        using VhostUserMessage advice = await _frontend.ReceiveAsync(FrontendRequest.PostcopyAdvise);
        Assert.Equal(0, advice.Payload.Length);
        using FileDescriptor faults = advice.Fds.Take();
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.PostcopyListen, []));

        // Every page is missing: the file is new, and the front-end has touched nothing.
        using FileDescriptor file = MemFd.Create("incoming", 1 << 20);
        var region = new MemoryRegion(new GuestAddress(0), 1 << 20, new FrontendAddress(0x10000), 0);
        FrontendRequest request = oneByOne ? FrontendRequest.AddMemReg : FrontendRequest.SetMemTable;
        _frontend.Send(request, oneByOne ? RawFrontend.Single(region) : RawFrontend.Table([region]), false, file);
        MemoryRegion theirs;
        using (VhostUserMessage reply = await _frontend.ReceiveAsync(request))
        {
            MessageReader reader = reply.Reader(request.ToString());
            theirs = oneByOne ? MemoryTable.ReadSingle(ref reader, out _) : Assert.Single(MemoryTable.Read(ref reader, out _));
        }

        ulong mapped = theirs.UserAddress.Value;
        Assert.NotEqual(region.UserAddress.Value, mapped);
        Assert.Equal(region with { UserAddress = theirs.UserAddress }, theirs);
        _frontend.Send(request, new UInt64Payload(0));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetVringNum, new VringState(0, 16)));

        // Another thread of the "guest" reads through the back-end's mapping and blocks until the page has come.
        Task<byte> read = Task.Factory.StartNew(() => Peek(mapped + 0x3005), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await Task.Run(() => ServeFault(faults, mapped, 0x3000, 0x5a), TestContext.Current.CancellationToken);
        Assert.Equal(0x5a, await read.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken));
        Assert.Equal(0UL, await _frontend.GetAsync(FrontendRequest.PostcopyEnd));
    }

    // SAFETY: the back-end's mapping lives as long as the session, which the test ends last.
    private static unsafe byte Peek(ulong address) => *(byte*)address;

    private static unsafe void ServeFault(FileDescriptor faults, ulong mapped, ulong offset, byte fill)
    {
        Span<pollfd> poll = [new pollfd { fd = faults.Value, events = POLLIN }];
        Assert.Equal(1, FileIO.Poll(poll, (int)RawFrontend.Deadline.TotalMilliseconds));
        uffd_msg message;
        Assert.Equal(sizeof(uffd_msg), FileIO.Read(faults.Value, &message, (nuint)sizeof(uffd_msg)));
        Assert.Equal(UFFD_EVENT_PAGEFAULT, message.@event);
        Assert.Equal(mapped + offset, message.address & ~4095UL);
        using MappedMemory page = MappedMemory.Anonymous(4096);
        page.Span.Fill(fill);
        var copy = new uffdio_copy { dst = mapped + offset, src = (ulong)page.Pointer, len = 4096 };
        Assert.Equal(0, FileIO.Ioctl(faults.Value, UFFDIO_COPY, &copy));
    }

    private async Task<byte[]> SaveAsync()
    {
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        Assert.Equal(0x100UL, await TransferAsync(DeviceStateDirection.Save, theirs));
        using Stream pipe = Open(ours, FileAccess.Read);
        var saved = new MemoryStream();
        await pipe.CopyToAsync(saved, TestContext.Current.CancellationToken);
        Assert.Equal(0UL, await _frontend.GetAsync(FrontendRequest.CheckDeviceState));
        return saved.ToArray();
    }

    private async Task<ulong> TransferAsync(DeviceStateDirection direction, FileDescriptor file)
    {
        _frontend.Send(FrontendRequest.SetDeviceStateFd, new DeviceStateTransfer(direction, 0), false, file);
        ulong status = await _frontend.ReceiveStatusAsync(FrontendRequest.SetDeviceStateFd);
        file.Dispose();
        return status;
    }

    private static VhostUser.Session.DescriptorStream Open(FileDescriptor file, FileAccess access) => new(file, access == FileAccess.Write, CancellationToken.None);

    private static unsafe HashSet<ulong> Dirty(MappedMemory log)
    {
        var pages = new HashSet<ulong>();
        for (ulong page = 0; page < log.Length * 8; page++)
        {
            if ((log.Pointer[page >> 3] >> (int)(page & 7) & 1) != 0)
                pages.Add(page);
        }

        return pages;
    }
}
