using TestKit;
using VhostUser.Devices;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Session;

/// <summary>What only some kinds of device have, from both sides: a network device's two messages, shared memory for the guest.</summary>
public sealed class FrontendNetworkTests : IAsyncLifetime
{
    private readonly NetworkDevice _device = new();
    private readonly FrontendRecorder _handler = new();
    private TestBackend _backend = null!;
    private FrontendSession _frontend = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _backend = await TestBackend.StartAsync(_device);
        var options = new FrontendOptions { Handler = _handler };
        _frontend = _backend.Open(new FrontendOptions { Handler = _handler, WantedProtocol = options.WantedProtocol | ProtocolFeatures.ShmemMap }, Cancel);
        await _frontend.NegotiateAsync(Cancel);
    }

    public async ValueTask DisposeAsync()
    {
        await _frontend.DisposeAsync();
        await _backend.DisposeAsync();
    }

    [Fact]
    public async Task MtuAndRarp_ReachTheDevice()
    {
        await _frontend.SetMtuAsync(9000, Cancel);
        Assert.Equal(9000, _device.Mtu);
        await Assert.ThrowsAsync<FrontendException>(() => _frontend.SetMtuAsync(67, Cancel));
        await _frontend.SendRarpAsync(new byte[] { 2, 1, 2, 3, 4, 5 }, Cancel);
        Assert.Equal([2, 1, 2, 3, 4, 5], _device.Announced);
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => _frontend.SendRarpAsync(new byte[5], Cancel));
    }

    [Fact]
    public async Task SharedMemory_SizesAskedAndPartsMapped()
    {
        ulong[] sizes = await _frontend.GetSharedMemorySizesAsync(Cancel);
        Assert.Equal([0UL, 0x10000UL, .. new ulong[254]], sizes);
        using FileDescriptor file = MemFd.Create("shmem", 0x8000);
        Assert.True(await _device.Channel!.MapSharedMemoryAsync(1, file, 0x1000, 0x2000, 0x3000, writable: true));
        Assert.Equal($"map 1 {0x1000} {0x2000} {0x3000} True", await _handler.NextAsync<string>(static _ => true, Cancel));
        Assert.True(await _device.Channel!.UnmapSharedMemoryAsync(1, 0x2000, 0x3000));
        Assert.Equal($"unmap 1 {0x2000} {0x3000}", await _handler.NextAsync<string>(static _ => true, Cancel));
        Assert.Equal(1, OpenFiles.CountOf(file));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task SharedMemory_HandlerRefusesOrThrows_DeviceHearsNoAndTheChannelGoesOn(bool throws)
    {
        using FileDescriptor file = MemFd.Create("shmem", 0x8000);
        _handler.Answer = () => throws ? throw new InvalidOperationException("the handler's own fault") : false;
        Assert.False(await _device.Channel!.MapSharedMemoryAsync(1, file, 0, 0, 0x1000, writable: false));
        _handler.Answer = static () => true;
        Assert.True(await _device.Channel!.MapSharedMemoryAsync(1, file, 0, 0, 0x1000, writable: false));
        Assert.Equal(throws ? 1 : 0, _backend.Log.Complaints.Count(static line => line.Contains("the handler's own fault", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Channel_RequestsThisFrontendDoesNotDo_AreRefusedAndItGoesOn()
    {
        using FileDescriptor file = MemFd.Create("dmabuf", 4096);
        IFrontendChannel channel = _device.Channel!;
        Assert.False(await channel.ShareObjectAsync(Guid.NewGuid(), file));
        Assert.True(await channel.MapSharedMemoryAsync(1, file, 0, 0, 0x1000, writable: false));
    }

    private sealed class NetworkDevice : EchoDevice
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
