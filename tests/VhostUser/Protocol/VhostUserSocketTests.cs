using TestKit;
using VhostUser.Protocol;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Protocol;

public sealed class VhostUserSocketTests : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(10);
    private readonly VhostUserSocket _socket;
    private readonly FileDescriptor _peer;
    private readonly CancellationTokenSource _deadline = new(Deadline);

    public VhostUserSocketTests()
    {
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        _socket = new VhostUserSocket(ours);
        _peer = theirs;
    }

    public void Dispose()
    {
        _socket.Dispose();
        _peer.Dispose();
        _deadline.Dispose();
    }

    [Fact]
    public async Task Receive_MessageInSingleBytes_Arrives()
    {
        ValueTask<VhostUserMessage?> receive = Receive();
        byte[] bytes = Message(FrontendRequest.SetFeatures, 8, 0x11);
        foreach (byte b in bytes)
        {
            FdSocket.SendWithFds(_peer, [b], []);
            await Task.Yield();
        }

        using VhostUserMessage? message = await receive;
        Assert.Equal(0x1111111111111111UL, message!.Read<UInt64Payload>("SET_FEATURES").Value);
    }

    [Fact]
    public async Task Receive_DescriptorsOfTheNextMessage_AreNotMixedUp()
    {
        using EventFd first = EventFd.Create();
        using EventFd second = EventFd.Create();
        Send(Message(FrontendRequest.SetVringCall, 8, 0), first.Handle);
        Send(Message(FrontendRequest.SetOwner, 0, 0));
        Send(Message(FrontendRequest.SetVringKick, 8, 0), second.Handle);

        using VhostUserMessage? call = await Receive();
        using VhostUserMessage? owner = await Receive();
        using VhostUserMessage? kick = await Receive();
        Assert.Equal(1, call!.Fds.Count);
        Assert.Equal(0, owner!.Fds.Count);
        Assert.Equal(1, kick!.Fds.Count);
        using FileDescriptor received = kick.Fds.Take();
        using EventFd taken = EventFd.FromReceived(received.Duplicate());
        taken.Signal();
        Assert.True(second.Drain());
        Assert.False(first.Drain());
    }

    [Fact]
    public async Task Receive_WaitsWhileDescriptorsArrive_KeepsThem()
    {
        // The wait looks at the socket without taking anything, descriptors included.
        ValueTask<VhostUserMessage?> receive = Receive();
        Assert.False(receive.IsCompleted);
        using EventFd fd = EventFd.Create();
        Send(Message(FrontendRequest.SetVringCall, 8, 0), fd.Handle);
        using VhostUserMessage? message = await receive;
        Assert.Equal(1, message!.Fds.Count);
    }

    [Fact]
    public async Task Receive_DescriptorsInsidePayload_AreClosedAndThrow()
    {
        using var probe = new DescriptorProbe();
        byte[] message = Message(FrontendRequest.SetFeatures, 8, 0);
        FdSocket.SendWithFds(_peer, message.AsSpan(0, 12), []);
        FdSocket.SendWithFds(_peer, message.AsSpan(12), [probe.Descriptor.Value]);

        ProtocolException e = await Assert.ThrowsAsync<ProtocolException>(async () => await Receive());
        Assert.Contains("descriptors inside its payload", e.Message, StringComparison.Ordinal);
        Assert.True(probe.IsClosedByPeer(Deadline));
    }

    [Fact]
    public async Task Receive_PeerGoneBetweenMessages_IsNull()
    {
        _peer.Dispose();
        Assert.Null(await Receive());
    }

    [Theory]
    [InlineData(5, "inside its header")]
    [InlineData(12, "before its payload")]
    [InlineData(15, "inside its payload")]
    public async Task Receive_PeerGoneInsideMessage_Throws(int bytes, string cause)
    {
        FdSocket.SendWithFds(_peer, Message(FrontendRequest.SetFeatures, 8, 0).AsSpan(0, bytes), []);
        _peer.Dispose();
        ProtocolException e = await Assert.ThrowsAsync<ProtocolException>(async () => await Receive());
        Assert.Contains(cause, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Receive_OversizedPayload_ThrowsBeforeReadingIt()
    {
        byte[] header = new byte[12];
        new MessageHeader(1, MessageFlags.Version1, uint.MaxValue).Write(header);
        Send(header);
        ProtocolException e = await Assert.ThrowsAsync<ProtocolException>(async () => await Receive());
        Assert.Contains("4294967295", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Receive_Cancelled_Throws()
    {
        using var cancel = new CancellationTokenSource();
        ValueTask<VhostUserMessage?> receive = _socket.ReceiveAsync(static _ => 64, cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await receive);
    }

    [Fact]
    public async Task Send_PeerReadsLate_ArrivesWhole()
    {
        using EventFd fd = EventFd.Create();
        byte[] payload = new byte[8000];
        using var peer = new VhostUserSocket(_peer);
        Task sending = Task.Run(async () =>
        {
            for (int i = 0; i < 200; i++)
                await _socket.SendAsync(7, MessageFlags.None, payload, i % 2 == 0 ? [] : [fd.Handle], _deadline.Token);
        }, TestContext.Current.CancellationToken);
        for (int i = 0; i < 200; i++)
        {
            using VhostUserMessage? message = await peer.ReceiveAsync(static _ => 8000, _deadline.Token);
            Assert.Equal(8000, message!.Payload.Length);
            Assert.Equal(i % 2, message.Fds.Count);
        }

        await sending;
    }

    private ValueTask<VhostUserMessage?> Receive() => _socket.ReceiveAsync(static _ => 4096, _deadline.Token);

    private void Send(byte[] bytes, params FileDescriptor[] fds)
        => Assert.Equal(bytes.Length, FdSocket.SendWithFds(_peer, bytes, [.. fds.Select(static fd => fd.Value)]));

    private static byte[] Message(FrontendRequest request, int size, byte fill)
    {
        byte[] bytes = new byte[12 + size];
        Array.Fill(bytes, fill);
        new MessageHeader((uint)request, MessageFlags.Version1, (uint)size).Write(bytes);
        return bytes;
    }
}
