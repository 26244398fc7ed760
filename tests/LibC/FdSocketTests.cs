using Xunit;
using static VhostXen.Linux.LibC;

namespace VhostXen.Linux.Tests;

public sealed unsafe class FdSocketTests : IDisposable
{
    private readonly OpenDescriptors _open = new();
    private readonly FileDescriptor _left;
    private readonly FileDescriptor _right;
    private readonly List<FileDescriptor> _received = [];
    private readonly byte[] _buffer = new byte[64];

    public FdSocketTests() => (_left, _right) = FdSocket.Pair(SOCK_NONBLOCK);

    public void Dispose()
    {
        _left.Dispose();
        _right.Dispose();
        _open.Dispose();
        _received.ForEach(fd => fd.Dispose());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(8)]
    [InlineData(64)]
    [InlineData(253)]
    public void Receive_WithDescriptors_OwnsEachOnce(int count)
    {
        Assert.Equal(5, Send("hello"u8, count));

        Assert.Equal(5, Receive(maxFds: count, out bool truncated));

        Assert.False(truncated);
        Assert.True(_buffer.AsSpan(0, 5).SequenceEqual("hello"u8));
        Assert.Equal(count, _received.Count);
        Assert.Equal(count, _received.Select(fd => fd.Value).Distinct().Count());
        Assert.Equal(1 + count, _open.Count);
        Assert.All(_received, fd => Assert.Equal(FD_CLOEXEC, fcntl(fd.Value, F_GETFD)));
        _received.ForEach(fd => fd.Dispose());
        Assert.Equal(1, _open.Count);
    }

    [Fact]
    public void Receive_SeveralDescriptors_KeepsTheirOrder()
    {
        using EventFd notifier = EventFd.Create();
        Assert.Equal(1, FdSocket.SendWithFds(_left, [7], [_open.File.Value, notifier.Handle.Value]));

        Assert.Equal(1, Receive(maxFds: 2, out _));

        Assert.Equal(0, MemFd.GetSeals(_received[0]));
        EventFd.FromReceived(_received[1].Duplicate()).Dispose();
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(2, 1)]
    [InlineData(9, 8)]
    [InlineData(253, 252)]
    public void Receive_MoreThanAllowed_ClosesAllAndFails(int sent, int allowed)
    {
        Send("x"u8, sent);

        Assert.Equal(-EMSGSIZE, Receive(allowed, out bool truncated));

        Assert.True(truncated);
        Assert.Empty(_received);
        Assert.Equal(1, _open.Count);
    }

    [Fact]
    public void Receive_NumbersRunOut_IsTruncatedAndClosesWhatArrived()
    {
        rlimit old;
        Assert.Equal(0, getrlimit(RLIMIT_NOFILE, &old));
        Send("x"u8, 8);
        using FileDescriptor lowest = _open.File.Duplicate();
        var low = new rlimit { rlim_cur = (ulong)lowest.Value + 3, rlim_max = old.rlim_max };
        Assert.Equal(0, setrlimit(RLIMIT_NOFILE, &low));
        nint result;
        bool truncated;
        try
        {
            result = Receive(maxFds: 8, out truncated);
        }
        finally
        {
            setrlimit(RLIMIT_NOFILE, &old);
        }

        Assert.Equal(-EMSGSIZE, result);
        Assert.True(truncated);
        Assert.Empty(_received);
        Assert.Equal(2, _open.Count);
    }

    [Fact]
    public void Receive_CollectorThrows_ClosesAll()
    {
        Send("x"u8, 5);

        Assert.Throws<InvalidOperationException>(() => FdSocket.ReceiveWithFds(_right, _buffer, new FullCollection(2), 5, 0, out _));

        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.Equal(1, _open.Count);
    }

    [Fact]
    public void Receive_WithCredentials_StillFindsDescriptors()
    {
        int on = 1;
        Assert.Equal(0, setsockopt(_right.Value, SOL_SOCKET, SO_PASSCRED, &on, sizeof(int)));
        Send("x"u8, 253);

        Assert.Equal(1, Receive(maxFds: 253, out bool truncated));

        Assert.False(truncated);
        Assert.Equal(253, _received.Count);
    }

    [Fact]
    public void Receive_BytesOfTwoMessages_DescriptorsComeWithTheirBytes()
    {
        FdSocket.SendWithFds(_left, "ab"u8, []);
        Send("cd"u8, 1);

        Assert.Equal(2, FdSocket.ReceiveWithFds(_right, _buffer.AsSpan(0, 2), _received, 1, 0, out _));
        Assert.Empty(_received);
        Assert.Equal(2, FdSocket.ReceiveWithFds(_right, _buffer.AsSpan(0, 2), _received, 1, 0, out _));
        Assert.Single(_received);
    }

    [Fact]
    public void Receive_PeerClosed_IsZero()
    {
        _left.Dispose();
        Assert.Equal(0, Receive(maxFds: 1, out _));
    }

    [Fact]
    public void Receive_NothingThere_IsEagain() => Assert.Equal(-EAGAIN, Receive(maxFds: 1, out _));

    [Fact]
    public void Send_PeerClosed_IsEpipeNotASignal()
    {
        _right.Dispose();
        Assert.Equal(-EPIPE, Send("x"u8, 1));
    }

    [Fact]
    public void Send_NoRoom_IsEagain()
    {
        byte[] block = new byte[65536];
        nint sent;
        do
        {
            sent = FdSocket.SendWithFds(_left, block, []);
        }
        while (sent > 0);

        Assert.Equal(-EAGAIN, sent);
    }

    [Fact]
    public void Unread_DescriptorsOfAClosedSocket_AreReleased()
    {
        Send("x"u8, 4);
        _left.Dispose();
        _right.Dispose();
        Assert.Equal(1, _open.Count);
    }

    [Fact]
    public void Connect_ToListener_CarriesBytes()
    {
        string path = Path.Combine(Path.GetTempPath(), $"fdsocket-{Guid.NewGuid():N}");
        using FileDescriptor listener = FdSocket.Listen(path, flags: SOCK_NONBLOCK);
        Assert.Null(FdSocket.Accept(listener));

        using FileDescriptor client = FdSocket.Connect(path);
        using FileDescriptor? server = FdSocket.Accept(listener);

        Assert.NotNull(server);
        Assert.Equal(1, FdSocket.SendWithFds(client, [9], []));
        Assert.Equal(1, FdSocket.ReceiveWithFds(server, _buffer, _received, 0, 0, out _));
        Assert.Equal(9, _buffer[0]);
        Assert.Equal(EADDRINUSE, Assert.Throws<SystemCallException>(() => FdSocket.Listen(path)).Error);
        listener.Dispose();
        Assert.Equal(ECONNREFUSED, Assert.Throws<SystemCallException>(() => FdSocket.Connect(path)).Error);
        Assert.Equal(0, unlink(path));
    }

    [Fact]
    public void Listen_PathTooLong_SaysSo() =>
        Assert.Contains("ENAMETOOLONG", Assert.Throws<SystemCallException>(() => FdSocket.Listen("/tmp/" + new string('x', 103))).Message);

    private nint Send(ReadOnlySpan<byte> bytes, int count)
    {
        int[] fds = new int[count];
        Array.Fill(fds, _open.File.Value);
        return FdSocket.SendWithFds(_left, bytes, fds);
    }

    private nint Receive(int maxFds, out bool truncated) =>
        FdSocket.ReceiveWithFds(_right, _buffer, _received, maxFds, 0, out truncated);

    private sealed class FullCollection(int capacity) : System.Collections.ObjectModel.Collection<FileDescriptor>
    {
        protected override void InsertItem(int index, FileDescriptor item)
        {
            if (index >= capacity)
                throw new InvalidOperationException("full");
            base.InsertItem(index, item);
        }
    }
}
