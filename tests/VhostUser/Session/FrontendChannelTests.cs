using TestKit;
using VhostUser.Devices;
using VhostUser.Protocol;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Session;

/// <summary>What a device asks of the front-end.</summary>
public sealed class FrontendChannelTests : IAsyncLifetime
{
    private readonly SharingDevice _device = new();
    private TestBackend _backend = null!;
    private RawFrontend _frontend = null!;
    private VhostUserSocket _channel = null!;

    public async ValueTask InitializeAsync()
    {
        _backend = await TestBackend.StartAsync(_device);
        _frontend = _backend.Connect();
        await _frontend.NegotiateAsync();
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        _channel = new VhostUserSocket(ours);
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SetBackendReqFd, [], theirs));
        theirs.Dispose();
    }

    public async ValueTask DisposeAsync()
    {
        _frontend.Dispose();
        await _backend.DisposeAsync();
        _channel.Dispose();
    }

    [Fact]
    public async Task GetShmemConfig_AnswersEveryRegionsSize()
    {
        _frontend.Send(FrontendRequest.GetShmemConfig, []);
        using VhostUserMessage reply = await _frontend.ReceiveAsync(FrontendRequest.GetShmemConfig);
        MessageReader reader = reply.Reader("GET_SHMEM_CONFIG");
        ulong[] sizes = SharedMemoryConfig.Read(ref reader);
        reader.End();
        Assert.Equal([0UL, 0x10000UL], sizes[..2]);
    }

    [Theory]
    [InlineData(0, true)]
    [InlineData(1, false)]
    public async Task ShmemMap_AnswersWhatTheFrontendSays(ulong status, bool expected)
    {
        using FileDescriptor file = MemFd.Create("shmem", 0x4000);
        Task<bool> map = _device.Channel!.MapSharedMemoryAsync(1, file, 0x1000, 0x2000, 0x3000, writable: true);
        using (VhostUserMessage request = await ReceiveAsync(BackendRequest.ShmemMap))
        {
            Assert.Equal(1, request.Fds.Count);
            Assert.Equal(new SharedMemoryMapping(1, 0x1000, 0x2000, 0x3000, true), request.Read<SharedMemoryMapping>("SHMEM_MAP"));
        }

        await AnswerAsync(BackendRequest.ShmemMap, status);
        Assert.Equal(expected, await map);
        Task<bool> unmap = _device.Channel!.UnmapSharedMemoryAsync(1, 0x2000, 0x3000);
        using (await ReceiveAsync(BackendRequest.ShmemUnmap))
            await AnswerAsync(BackendRequest.ShmemUnmap, 0);

        Assert.True(await unmap);
    }

    [Fact]
    public async Task SharedObject_AddedFoundAndRemoved()
    {
        var id = Guid.NewGuid();
        using FileDescriptor file = MemFd.Create("dmabuf", 4096);
        Task<bool> add = _device.Channel!.ShareObjectAsync(id, file);
        using (VhostUserMessage request = await ReceiveAsync(BackendRequest.SharedObjectAdd))
            Assert.Equal(id, request.Read<SharedObjectId>("SHARED_OBJECT_ADD").Value);

        await AnswerAsync(BackendRequest.SharedObjectAdd, 0);
        Assert.True(await add);
        Assert.Equal(1, await GetObjectAsync(id));
        Assert.Equal(0, await GetObjectAsync(Guid.NewGuid()));

        Task<bool> remove = _device.Channel!.UnshareObjectAsync(id);
        using (await ReceiveAsync(BackendRequest.SharedObjectRemove))
            await AnswerAsync(BackendRequest.SharedObjectRemove, 0);

        Assert.True(await remove);
        Assert.Equal(0, await GetObjectAsync(id));
        Assert.Equal(1, OpenFiles.CountOf(file));
    }

    [Fact]
    public async Task SharedObject_LookedUp_GivesTheDescriptor()
    {
        using FileDescriptor file = MemFd.Create("dmabuf", 4096);
        Task<FileDescriptor?> lookUp = _device.Channel!.LookUpObjectAsync(Guid.NewGuid());
        using (await ReceiveAsync(BackendRequest.SharedObjectLookup))
            await _channel.SendAsync((uint)BackendRequest.SharedObjectLookup, MessageFlags.Reply, new UInt64Payload(0), file, TestContext.Current.CancellationToken);

        using FileDescriptor? found = await lookUp;
        Assert.Equal(4096UL, FileIO.Stat(found!).stx_size);
    }

    [Fact]
    public async Task Request_FrontendHangsUpInstead_AnswersNo()
    {
        using FileDescriptor file = MemFd.Create("shmem", 4096);
        Task<bool> map = _device.Channel!.MapSharedMemoryAsync(1, file, 0, 0, 4096, false);
        _channel.Dispose();
        Assert.False(await map.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken));
        Assert.False(await _device.Channel!.MapSharedMemoryAsync(1, file, 0, 0, 4096, false));
        Assert.NotEqual(0UL, await _frontend.GetAsync(FrontendRequest.GetFeatures));
    }

    [Fact]
    public async Task Request_SessionEnds_AnswersNo()
    {
        IFrontendChannel channel = _device.Channel!;
        using FileDescriptor file = MemFd.Create("shmem", 4096);
        Task<bool> map = channel.MapSharedMemoryAsync(1, file, 0, 0, 4096, false);
        _frontend.Dispose();
        Assert.False(await map.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken));
        await _backend.Session.WaitAsync(RawFrontend.Deadline, TestContext.Current.CancellationToken);
        Assert.Null(_device.Channel);
        Assert.False(await channel.MapSharedMemoryAsync(1, file, 0, 0, 4096, false));
    }

    [Fact]
    public async Task NetworkMessages_ReachTheDevice()
    {
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.NetSetMtu, new UInt64Payload(1500)));
        Assert.Equal(1500, _device.Mtu);
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.NetSetMtu, new UInt64Payload(0x10000 + 1500)));
        Assert.Equal(1UL, await _frontend.AskAsync(FrontendRequest.NetSetMtu, new UInt64Payload(67)));
        Assert.Equal(0UL, await _frontend.AskAsync(FrontendRequest.SendRarp, new byte[] { 1, 2, 3, 4, 5, 6, 0, 0 }));
        Assert.Equal([1, 2, 3, 4, 5, 6], _device.Announced);
    }

    private async Task<int> GetObjectAsync(Guid id)
    {
        _frontend.Send(FrontendRequest.GetSharedObject, new SharedObjectId(id));
        using VhostUserMessage reply = await _frontend.ReceiveAsync(FrontendRequest.GetSharedObject);
        Assert.Equal(id, reply.Read<SharedObjectId>("GET_SHARED_OBJECT").Value);
        return reply.Fds.Count;
    }

    private async Task<VhostUserMessage> ReceiveAsync(BackendRequest request)
    {
        using var deadline = new CancellationTokenSource(RawFrontend.Deadline);
        VhostUserMessage? message = await _channel.ReceiveAsync(static _ => 64, deadline.Token);
        Assert.Equal((uint)request, message!.Header.Request);
        Assert.True(message.Header.NeedsReply);
        return message;
    }

    private ValueTask AnswerAsync(BackendRequest request, ulong status)
        => _channel.SendAsync((uint)request, MessageFlags.Reply, new UInt64Payload(status), null, TestContext.Current.CancellationToken);

    private sealed class SharingDevice : EchoDevice
    {
        public override uint DeviceId => 1;

        public override IReadOnlyList<ulong> SharedMemorySizes => [0, 0x10000];

        public override bool SharesObjects => true;

        public int Mtu { get; private set; }

        public byte[] Announced { get; private set; } = [];

        public override bool SetMtu(ushort mtu)
        {
            Mtu = mtu;
            return true;
        }

        public override bool SendRarp(ReadOnlySpan<byte> mac)
        {
            Announced = mac.ToArray();
            return true;
        }
    }
}
