using VhostXen.Linux;
using XenMemoryProvider.Kernel.Linux;
using Xunit;

namespace XenMemoryProvider.Tests.Kernel;

public sealed class XenbusStreamTests : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly FileDescriptor _peer;
    private readonly XenbusStream _stream;

    public XenbusStreamTests()
    {
        (FileDescriptor device, _peer) = FdSocket.Pair(LibC.SOCK_NONBLOCK);
        _stream = new XenbusStream(device);
    }

    public void Dispose()
    {
        _stream.Dispose();
        _peer.Dispose();
    }

    [Fact]
    public async Task ReadAsync_DataComesLater_ReturnsIt()
    {
        var buffer = new byte[16];
        Task<int> read = _stream.ReadAsync(buffer, TestContext.Current.CancellationToken).AsTask();

        FdSocket.SendWithFds(_peer, "reply"u8, []);

        Assert.Equal(5, await read.WaitAsync(Deadline, TestContext.Current.CancellationToken));
        Assert.Equal("reply"u8, buffer.AsSpan(0, 5));
    }

    [Fact]
    public async Task ReadAsync_Cancelled_ThrowsAndTheNextReadWorks()
    {
        using var cancel = new CancellationTokenSource();
        Task<int> read = _stream.ReadAsync(new byte[16], cancel.Token).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.WaitAsync(Deadline, TestContext.Current.CancellationToken));

        FdSocket.SendWithFds(_peer, "x"u8, []);

        Assert.Equal(1, await _stream.ReadAsync(new byte[16], TestContext.Current.CancellationToken).AsTask().WaitAsync(Deadline, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Dispose_WhileReading_EndsTheStream()
    {
        Task<int> read = _stream.ReadAsync(new byte[16], TestContext.Current.CancellationToken).AsTask();

        _stream.Dispose();

        Assert.Equal(0, await read.WaitAsync(Deadline, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task WriteAsync_MoreThanThePipeHolds_WritesAll()
    {
        var sent = new byte[1 << 20];
        Random.Shared.NextBytes(sent);
        Task write = _stream.WriteAsync(sent, TestContext.Current.CancellationToken).AsTask();

        var received = new List<byte>();
        var buffer = new byte[65536];
        while (received.Count < sent.Length)
        {
            nint count = FdSocket.ReceiveWithFds(_peer, buffer, new List<FileDescriptor>(), 0, 0, out _);
            if (count == -LibC.EAGAIN) await Task.Yield();
            else received.AddRange(buffer.AsSpan(0, (int)count));
        }

        await write.WaitAsync(Deadline, TestContext.Current.CancellationToken);
        Assert.Equal(sent, received);
    }
}
