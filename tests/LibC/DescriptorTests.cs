using Xunit;
using static VhostXen.Linux.LibC;

namespace VhostXen.Linux.Tests;

public sealed unsafe class DescriptorTests
{
    [Fact]
    public void Dispose_Twice_ClosesOnce()
    {
        using var open = new OpenDescriptors();
        FileDescriptor copy = open.File.Duplicate();
        Assert.Equal(2, open.Count);
        copy.Dispose();
        copy.Dispose();
        Assert.Equal(1, open.Count);
    }

    [Fact]
    public void Dispose_NotOwned_LeavesItOpen()
    {
        using var open = new OpenDescriptors();
        new FileDescriptor(open.File.Value, ownsHandle: false).Dispose();
        Assert.Equal(1, open.Count);
    }

    [Fact]
    public void Dispose_WhileBorrowed_ClosesWhenReturned()
    {
        using var open = new OpenDescriptors();
        FileDescriptor copy = open.File.Duplicate();
        using (copy.Borrow())
        {
            copy.Dispose();
            Assert.Equal(2, open.Count);
        }

        Assert.Equal(1, open.Count);
        Assert.Throws<ObjectDisposedException>(() => copy.Borrow());
    }

    [Fact]
    public void Open_Missing_NamesCallPathAndErrno()
    {
        var failure = Assert.Throws<SystemCallException>(() => FileDescriptor.Open("/nonexistent/file", O_RDONLY));
        Assert.Equal(ENOENT, failure.Error);
        Assert.Equal("open /nonexistent/file: ENOENT (No such file or directory)", failure.Message);
    }

    [Fact]
    public void Errno_Unknown_IsANumber() => Assert.Equal("errno 4711", errno_name(4711));

    [Fact]
    public void Duplicate_IsCloseOnExecAndSharesTheFile()
    {
        using FileDescriptor file = MemFd.Create("dup", 0);
        using FileDescriptor copy = file.Duplicate();
        Assert.Equal(FD_CLOEXEC, fcntl(copy.Value, F_GETFD));
        copy.SetNonBlocking(true);
        Assert.NotEqual(0, fcntl(file.Value, F_GETFL) & O_NONBLOCK);
    }

    [Fact]
    public void MemFd_Sealed_RefusesToShrinkAndGrow()
    {
        using FileDescriptor file = MemFd.Create("sealed", 8192, F_SEAL_SHRINK | F_SEAL_GROW);
        Assert.Equal(F_SEAL_SHRINK | F_SEAL_GROW, MemFd.GetSeals(file));
        Assert.Equal(-1, ftruncate(file.Value, 4096));
        Assert.Equal(EPERM, errno);
        Assert.Equal(-1, ftruncate(file.Value, 16384));
        MemFd.AddSeals(file, F_SEAL_SEAL);
        Assert.Equal(EPERM, Assert.Throws<SystemCallException>(() => MemFd.AddSeals(file, F_SEAL_WRITE)).Error);
        Assert.Equal(8192ul, FileIO.Stat(file).stx_size);
    }

    [Fact]
    public void GetSeals_OfASocket_IsEinval()
    {
        (FileDescriptor a, FileDescriptor b) = FdSocket.Pair();
        Assert.Equal(-EINVAL, MemFd.GetSeals(a));
        a.Dispose();
        b.Dispose();
    }

    [Fact]
    public void Map_SharedFileTwice_SeesTheSameBytes()
    {
        using FileDescriptor file = MemFd.Create("map", 8192);
        using MappedMemory whole = MappedMemory.Map(file, 0, 8192);
        using MappedMemory second = MappedMemory.Map(file, 4096, 4096, PROT_READ);
        whole.Pointer[4096 + 17] = 42;
        Assert.Equal(42, second.Span[17]);
        Assert.Equal(8192u, whole.Length);
    }

    [Fact]
    public void Map_Disposed_IsGone()
    {
        using FileDescriptor file = MemFd.Create($"gone-{Guid.NewGuid():N}", 4096);
        string name = new FileInfo($"/proc/self/fd/{file.Value}").LinkTarget!.Split(' ')[0];
        MappedMemory map = MappedMemory.Map(file, 0, 4096);
        Assert.Contains(name, File.ReadAllText("/proc/self/maps"));
        map.Dispose();
        map.Dispose();
        Assert.DoesNotContain(name, File.ReadAllText("/proc/self/maps"));
    }

    [Theory]
    [InlineData(0ul, 0ul, MAP_SHARED, EINVAL)]
    [InlineData(1ul, 4096ul, MAP_SHARED, EINVAL)]
    [InlineData(ulong.MaxValue, 4096ul, MAP_SHARED, EOVERFLOW)]
    [InlineData(0ul, 4096ul, MAP_SHARED | MAP_FIXED, EINVAL)]
    [InlineData(0ul, ulong.MaxValue, MAP_SHARED, ENOMEM)]
    public void Map_Impossible_Throws(ulong offset, ulong length, int flags, int error)
    {
        using FileDescriptor file = MemFd.Create("bad", 4096);
        Assert.Equal(error, Assert.Throws<SystemCallException>(() => MappedMemory.Map(file, offset, (nuint)length, flags: flags)).Error);
    }

    [Fact]
    public void EventFd_Signals_AddUpAndAreTakenAtOnce()
    {
        using EventFd notifier = EventFd.Create();
        Assert.False(notifier.TryRead(out ulong count));
        Assert.True(notifier.Signal());
        Assert.True(notifier.Signal());
        Assert.True(notifier.TryRead(out count));
        Assert.Equal(2ul, count);
        Assert.False(notifier.Drain());
    }

    [Fact]
    public void EventFd_CounterFull_SignalDoesNotBlock()
    {
        using EventFd notifier = EventFd.Create();
        ulong most = ulong.MaxValue - 1;
        Assert.Equal(8, FileIO.Write(notifier.Handle.Value, &most, 8));
        Assert.False(notifier.Signal());
    }

    [Fact]
    public void EventFd_ReceivedBlocking_BecomesNonBlocking()
    {
        using EventFd blocking = EventFd.Create(nonBlocking: false);
        using EventFd received = EventFd.FromReceived(blocking.Handle.Duplicate());
        Assert.False(received.TryRead(out _));
        received.Signal();
        Assert.True(blocking.Drain());
    }

    [Fact]
    public void EventFd_ReceivedSomethingElse_IsRefusedAndClosed()
    {
        using var open = new OpenDescriptors();
        FileDescriptor lie = open.File.Duplicate();
        Assert.Equal(EINVAL, Assert.Throws<SystemCallException>(() => EventFd.FromReceived(lie)).Error);
        Assert.True(lie.IsClosed);
        Assert.Equal(1, open.Count);
    }

    [Fact]
    public void Epoll_ReadyDescriptors_ComeWithTheirData()
    {
        using var epoll = new Epoll();
        using EventFd first = EventFd.Create(), second = EventFd.Create();
        epoll.Add(first.Handle, EPOLLIN, 0x1122334455667788);
        epoll.Add(second.Handle, EPOLLIN, ulong.MaxValue);
        var events = new epoll_event[4];
        Assert.Equal(0, epoll.Wait(events, 0));

        second.Signal();
        Assert.Equal(1, epoll.Wait(events, 10_000));
        Assert.Equal(ulong.MaxValue, events[0].data);
        Assert.Equal(EPOLLIN, events[0].events);

        first.Signal();
        Assert.Equal(2, epoll.Wait(events, 10_000));
        Assert.Contains(events[..2], e => e.data == 0x1122334455667788);

        epoll.Remove(second.Handle);
        epoll.Modify(first.Handle, EPOLLIN, 5);
        Assert.Equal(1, epoll.Wait(events, 10_000));
        Assert.Equal(5ul, events[0].data);
        Assert.Equal(ENOENT, Assert.Throws<SystemCallException>(() => epoll.Remove(second.Handle)).Error);
        Assert.Equal(EEXIST, Assert.Throws<SystemCallException>(() => epoll.Add(first.Handle, 0, 0)).Error);
    }

    [Fact]
    public void ReadV_PipeWithNowait_IsEagainUntilBytesCome()
    {
        int* ends = stackalloc int[2];
        Assert.Equal(0, pipe2(ends, O_CLOEXEC));
        using var read = new FileDescriptor(ends[0]);
        using var write = new FileDescriptor(ends[1]);
        byte* bytes = stackalloc byte[8];
        var vector = new iovec { iov_base = bytes, iov_len = 8 };

        // Offset -1 is "at the position": RWF_NOWAIT makes one read of a blocking pipe non-blocking.
        Assert.Equal(-EAGAIN, FileIO.ReadV(read.Value, &vector, 1, -1, RWF_NOWAIT));
        bytes[0] = 3;
        Assert.Equal(1, FileIO.Write(write.Value, bytes, 1));
        Assert.Equal(1, FileIO.ReadV(read.Value, &vector, 1, -1, RWF_NOWAIT));
    }

    [Fact]
    public void WriteV_ThenReadV_RoundTripsAtAnOffset()
    {
        using FileDescriptor file = MemFd.Create("rw", 0);
        byte* bytes = stackalloc byte[16];
        for (int i = 0; i < 16; i++)
            bytes[i] = (byte)i;
        iovec* halves = stackalloc iovec[2];
        halves[0] = new iovec { iov_base = bytes + 8, iov_len = 8 };
        halves[1] = new iovec { iov_base = bytes, iov_len = 8 };
        Assert.Equal(16, FileIO.WriteV(file.Value, halves, 2, 100, RWF_DSYNC));
        byte* back = stackalloc byte[16];
        Assert.Equal(16, FileIO.Pread(file.Value, back, 16, 100));
        Assert.Equal([8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7], new Span<byte>(back, 16).ToArray());
        Assert.Equal(0, FileIO.Fallocate(file.Value, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 8));
        Assert.Equal(16, FileIO.Pread(file.Value, back, 16, 100));
        Assert.Equal([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7], new Span<byte>(back, 16).ToArray());
        Assert.Equal(0, FileIO.Fdatasync(file.Value));
        Assert.Equal(0, FileIO.Pread(file.Value, back, 16, 1000));
        Assert.Equal(-EBADF, FileIO.Pread(-1, back, 16, 0));
    }

    [Fact]
    public void Ioctl_BlockSizeOfAMemfd_IsEnotty()
    {
        using FileDescriptor file = MemFd.Create("ioctl", 0);
        ulong size;
        Assert.Equal(-ENOTTY, FileIO.Ioctl(file.Value, BLKGETSIZE64, &size));
    }

    [Fact]
    public void Poll_ReadyAndNot_CountsAndTimesOut()
    {
        using EventFd notifier = EventFd.Create();
        pollfd[] fds = [new() { fd = notifier.Handle.Value, events = POLLIN }];
        Assert.Equal(0, FileIO.Poll(fds, 0));
        notifier.Signal();
        Assert.Equal(1, FileIO.Poll(fds, 10_000));
        Assert.Equal(POLLIN, fds[0].revents);
    }
}
