using Xunit;
using static VhostXen.Linux.LibC;

namespace VhostXen.Linux.Tests;

public sealed unsafe class IoUringTests : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(10);
    private IoUring? _ring;

    public void Dispose() => _ring?.Dispose();

    [Theory]
    [InlineData(IoUring.DefaultSetupFlags)]
    [InlineData(0u)]
    [InlineData(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)]
    public void Nops_ManyTimesTheRing_AllComeBackInOrder(uint flags)
    {
        IoUring ring = Open(8, flags: flags);
        ulong next = 0, expected = 0;
        while (expected < 10_000)
        {
            while (next - expected < ring.CompletionEntries && ring.TryGetSqe(out io_uring_sqe* sqe))
                IoUringSqe.Nop(sqe, next++);
            Assert.True(ring.SubmitAndWait() >= 0);
            Assert.Equal(0u, ring.Unsubmitted);
            while (ring.TryPeekCqe(out io_uring_cqe cqe))
            {
                Assert.Equal(expected++, cqe.user_data);
                Assert.Equal(0, cqe.res);
                ring.AdvanceCq();
            }
        }

        Assert.Equal(next, expected);
    }

    [Fact]
    public void Sqes_Full_AreRefusedUntilSubmitted()
    {
        IoUring ring = Open(4);
        for (uint i = 0; i < ring.SubmissionEntries; i++)
            Add(i);
        Assert.False(ring.TryGetSqe(out _));
        Assert.Equal(ring.SubmissionEntries, ring.Unsubmitted);
        Assert.Equal((int)ring.SubmissionEntries, ring.Submit());
        Assert.True(ring.TryGetSqe(out _));
    }

    [Fact]
    public void Completions_MoreThanTheRing_AreKeptByTheKernel()
    {
        IoUring ring = Open(4, completionEntries: 8);
        const ulong total = 64;
        for (ulong i = 0; i < total; i++)
        {
            if (!TryAdd(i))
            {
                Assert.Equal(4, ring.Submit());
                Assert.True(TryAdd(i));
            }
        }

        Assert.True(ring.Submit() >= 0);
        for (ulong i = 0; i < total; i++)
            Assert.Equal(i, Take().user_data);
        Assert.False(ring.TryPeekCqe(out _));
    }

    [Fact]
    public void WriteVThenReadV_File_RoundTrips()
    {
        IoUring ring = Open(8);
        using FileDescriptor file = MemFd.Create("uring", 0);
        using MappedMemory memory = MappedMemory.Anonymous(8192);
        memory.Span[..4096].Fill(0x5a);
        var from = new iovec { iov_base = memory.Pointer, iov_len = 4096 };
        Assert.True(ring.TryGetSqe(out io_uring_sqe* sqe));
        IoUringSqe.WriteV(sqe, file.Value, &from, 1, 512, userData: 1);
        Assert.Equal(1, ring.SubmitAndWait());
        Assert.Equal(4096, Take().res);

        Assert.True(ring.TryGetSqe(out sqe));
        IoUringSqe.Fsync(sqe, file.Value, dataOnly: true, userData: 2);
        sqe->flags |= IOSQE_IO_LINK;
        var to = new iovec { iov_base = memory.Pointer + 4096, iov_len = 4096 };
        Assert.True(ring.TryGetSqe(out sqe));
        IoUringSqe.ReadV(sqe, file.Value, &to, 1, 512, userData: 3);
        Assert.Equal(2, ring.SubmitAndWait(2, Deadline));
        Assert.Equal(0, Take().res);
        Assert.Equal(4096, Take().res);
        Assert.True(memory.Span[4096..].SequenceEqual(memory.Span[..4096]));

        Assert.True(ring.TryGetSqe(out sqe));
        IoUringSqe.Fallocate(sqe, file.Value, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 512, 1024, userData: 4);
        Assert.Equal(1, ring.SubmitAndWait());
        Assert.Equal(0, Take().res);
        Assert.True(ring.TryGetSqe(out sqe));
        IoUringSqe.Read(sqe, file.Value, memory.Pointer, 2048, 512, userData: 5);
        ring.SubmitAndWait();
        Assert.Equal(2048, Take().res);
        Assert.False(memory.Span[..1024].ContainsAnyExcept((byte)0));
        Assert.False(memory.Span[1024..2048].ContainsAnyExcept((byte)0x5a));
    }

    [Fact]
    public void Read_BadDescriptor_IsAResult()
    {
        IoUring ring = Open(4);
        byte one;
        Assert.True(ring.TryGetSqe(out io_uring_sqe* sqe));
        IoUringSqe.Read(sqe, -1, &one, 1, 0, userData: 1);
        ring.SubmitAndWait();
        Assert.Equal(-EBADF, Take().res);
    }

    [Theory]
    [InlineData(IoUring.DefaultSetupFlags)]
    [InlineData(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG)]
    public void PollAdd_MultishotEventFd_CompletesAgainAndAgain(uint flags)
    {
        IoUring ring = Open(8, flags: flags);
        using EventFd kick = EventFd.Create();
        Assert.True(ring.TryGetSqe(out io_uring_sqe* sqe));
        IoUringSqe.PollAdd(sqe, kick.Handle.Value, POLLIN, multishot: true, userData: 7);
        ring.Submit();
        for (int i = 0; i < 3; i++)
        {
            Assert.False(ring.TryPeekCqe(out _));
            kick.Signal();
            Assert.Equal(0, ring.SubmitAndWait(1, Deadline));
            io_uring_cqe cqe = Take();
            Assert.Equal(7ul, cqe.user_data);
            Assert.Equal(POLLIN, cqe.res & POLLIN);
            Assert.NotEqual(0u, cqe.flags & IORING_CQE_F_MORE);
            Assert.True(kick.Drain());
        }

        Assert.True(ring.TryGetSqe(out sqe));
        IoUringSqe.PollRemove(sqe, target: 7, userData: 8);
        ring.SubmitAndWait(2, Deadline);
        io_uring_cqe[] last = [Take(), Take()];
        Assert.Equal(-ECANCELED, last.Single(c => c.user_data == 7).res);
        Assert.Equal(0, last.Single(c => c.user_data == 8).res);
    }

    [Fact]
    public void SubmitAndWait_AnotherThreadSignals_Wakes()
    {
        IoUring ring = Open(8);
        using EventFd kick = EventFd.Create();
        Assert.True(ring.TryGetSqe(out io_uring_sqe* sqe));
        IoUringSqe.PollAdd(sqe, kick.Handle.Value, POLLIN, multishot: false, userData: 7);
        ring.Submit();
        var signaller = new Thread(() => kick.Signal());
        signaller.Start();
        Assert.Equal(0, ring.SubmitAndWait());
        signaller.Join();
        Assert.Equal(7ul, Take().user_data);
    }

    [Fact]
    public void SubmitAndWait_NothingHappens_TimesOut()
    {
        IoUring ring = Open(4);
        Assert.Equal(-ETIME, ring.SubmitAndWait(1, TimeSpan.FromMilliseconds(5)));
        Assert.Equal(-ETIME, ring.SubmitAndWait(1, TimeSpan.Zero));
    }

    [Fact]
    public void WaitByPoll_OldKernel_TimesOutAndWakes()
    {
        IoUring ring = Open(4);
        ring.WithoutExtendedArgument = true;
        Assert.Equal(-ETIME, ring.SubmitAndWait(1, TimeSpan.FromMilliseconds(5)));
        Add(1);
        Assert.Equal(1, ring.SubmitAndWait(1, Deadline));
        Assert.Equal(1ul, Take().user_data);
    }

    [Fact]
    public void Timeout_Expires_WithEtime()
    {
        IoUring ring = Open(4);
        var time = new __kernel_timespec { tv_nsec = 1_000_000 };
        Assert.True(ring.TryGetSqe(out io_uring_sqe* sqe));
        IoUringSqe.Timeout(sqe, &time, 0, userData: 3);
        ring.SubmitAndWait(1, Deadline);
        Assert.Equal(-ETIME, Take().res);
    }

    [Fact]
    public void Cancel_WaitingRead_Cancels()
    {
        IoUring ring = Open(4);
        int* ends = stackalloc int[2];
        Assert.Equal(0, pipe2(ends, O_CLOEXEC));
        using var read = new FileDescriptor(ends[0]);
        using var write = new FileDescriptor(ends[1]);
        byte one;
        Assert.True(ring.TryGetSqe(out io_uring_sqe* sqe));
        IoUringSqe.Read(sqe, read.Value, &one, 1, ulong.MaxValue, userData: 1);
        ring.Submit();
        Assert.True(ring.TryGetSqe(out sqe));
        IoUringSqe.Cancel(sqe, target: 1, userData: 2);
        ring.SubmitAndWait(2, Deadline);
        io_uring_cqe[] both = [Take(), Take()];
        Assert.Equal(-ECANCELED, both.Single(c => c.user_data == 1).res);
        Assert.Equal(0, both.Single(c => c.user_data == 2).res);
    }

    [Fact]
    public void Handle_CompletionsWaiting_IsReadableForEpoll()
    {
        IoUring ring = Open(4);
        using var epoll = new Epoll();
        epoll.Add(ring.Handle, EPOLLIN, 1);
        var events = new epoll_event[1];
        Assert.Equal(0, epoll.Wait(events, 0));
        Add(1);
        ring.Submit();
        Assert.Equal(1, epoll.Wait(events, 10_000));
    }

    [Fact]
    public void Register_BuffersFilesAndEventFd_Work()
    {
        IoUring ring = Open(4);
        using FileDescriptor file = MemFd.Create("fixed", 4096);
        using MappedMemory memory = MappedMemory.Anonymous(4096);
        using EventFd notifier = EventFd.Create();
        Assert.Equal(0, ring.RegisterBuffers([new iovec { iov_base = memory.Pointer, iov_len = 4096 }]));
        Assert.Equal(0, ring.RegisterFiles([file.Value]));
        Assert.Equal(0, ring.RegisterEventFd(notifier));
        memory.Span.Fill(9);
        Assert.True(ring.TryGetSqe(out io_uring_sqe* sqe));
        IoUringSqe.Write(sqe, 0, memory.Pointer, 4096, 0, userData: 1);
        sqe->opcode = IORING_OP_WRITE_FIXED;
        sqe->flags = IOSQE_FIXED_FILE;
        ring.SubmitAndWait();
        Assert.Equal(4096, Take().res);
        Assert.True(notifier.Drain());
        byte last;
        Assert.Equal(1, FileIO.Pread(file.Value, &last, 1, 4095));
        Assert.Equal(9, last);
        Assert.Equal(0, ring.UnregisterBuffers());
        Assert.Equal(0, ring.UnregisterFiles());
        Assert.Equal(0, ring.UnregisterEventFd());
        Assert.Equal(-ENXIO, ring.UnregisterBuffers());
    }

    [Fact]
    public void Supports_KnownAndUnknown_Differ()
    {
        IoUring ring = Open(4);
        Assert.True(ring.Supports(IORING_OP_READV));
        Assert.True(ring.Supports(IORING_OP_FALLOCATE));
        Assert.False(ring.Supports(255));
    }

    [Fact]
    public void Setup_FlagNoKernelKnows_IsRefusedByName()
    {
        SkipWhereRefused();
        var failure = Assert.Throws<SystemCallException>(() => new IoUring(4, flags: 1u << 31).Dispose());
        Assert.Equal(EINVAL, failure.Error);
        Assert.StartsWith("io_uring_setup: EINVAL", failure.Message);
    }

    [Fact]
    public void Setup_NoDescriptorLeft_ThrowsAndIsNotSupported()
    {
        SkipWhereRefused();
        rlimit old;
        Assert.Equal(0, getrlimit(RLIMIT_NOFILE, &old));
        var none = new rlimit { rlim_cur = 3, rlim_max = old.rlim_max };
        Assert.Equal(0, setrlimit(RLIMIT_NOFILE, &none));
        SystemCallException? failure;
        bool supported;
        try
        {
            failure = Record.Exception(() => new IoUring(4).Dispose()) as SystemCallException;
            supported = IoUring.Probe();
        }
        finally
        {
            setrlimit(RLIMIT_NOFILE, &old);
        }

        Assert.Equal(EMFILE, failure?.Error);
        Assert.False(supported);
        Assert.True(IoUring.Probe());
    }

    [Fact]
    public void Steady_SubmitAndTake_AllocatesNothing()
    {
        IoUring ring = Open(8);
        for (int i = 0; i < 100; i++)
            RoundTrip(ring);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
            RoundTrip(ring);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

        static void RoundTrip(IoUring ring)
        {
            ring.TryGetSqe(out io_uring_sqe* sqe);
            IoUringSqe.Nop(sqe, 1);
            ring.SubmitAndWait(1, Deadline);
            ring.TryPeekCqe(out _);
            ring.AdvanceCq();
        }
    }

    private static void SkipWhereRefused() => Assert.SkipUnless(IoUring.IsSupported, "this kernel refuses io_uring");

    private IoUring Open(uint entries, uint completionEntries = 0, uint flags = IoUring.DefaultSetupFlags)
    {
        SkipWhereRefused();
        return _ring = new IoUring(entries, completionEntries, flags);
    }

    private void Add(ulong userData) => Assert.True(TryAdd(userData));

    private bool TryAdd(ulong userData)
    {
        if (!_ring!.TryGetSqe(out io_uring_sqe* sqe))
            return false;
        IoUringSqe.Nop(sqe, userData);
        return true;
    }

    private io_uring_cqe Take()
    {
        Assert.True(_ring!.TryPeekCqe(out io_uring_cqe cqe));
        _ring.AdvanceCq();
        return cqe;
    }
}
