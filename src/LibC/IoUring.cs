using System.Diagnostics;
using static VhostXen.Linux.LibC;

namespace VhostXen.Linux;

/// <summary>
/// One io_uring, owned by one thread: the thread that creates it fills entries, submits, registers and takes completions
/// (with SINGLE_ISSUER the kernel answers EEXIST to any other).
/// Nothing is allocated per operation. Before Dispose the owner must have all completions whose memory it wants to reuse.
/// </summary>
public sealed unsafe partial class IoUring : IDisposable
{
    /// <summary>For a thread that submits and waits by itself. Kernels that do not know a flag get a ring without it.</summary>
    public const uint DefaultSetupFlags =
        IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER;

    private readonly MappedMemory _sqMemory;
    private readonly MappedMemory _cqMemory;
    private readonly MappedMemory _sqeMemory;
    private readonly int _fd;
    private readonly io_uring_sqe* _sqes;
    private readonly io_uring_cqe* _cqes;
    private readonly uint* _sqHead;
    private readonly uint* _sqTail;
    private readonly uint* _sqFlags;
    private readonly uint* _cqHead;
    private readonly uint* _cqTail;
    private readonly uint _sqMask;
    private readonly uint _cqMask;
    private uint _sqLocalTail;
    private uint _cqLocalHead;

    /// <param name="entries">Of the submission queue; the kernel rounds up to a power of two.</param>
    /// <param name="completionEntries">0 lets the kernel take twice <paramref name="entries"/>.</param>
    /// <param name="flags">IORING_SETUP_ flags; those unknown to the kernel are left out, newest first.</param>
    /// <exception cref="SystemCallException">ENOSYS, EPERM: refused here; ENOMEM, EMFILE. EOPNOTSUPP: the kernel is older than 5.5.</exception>
    public IoUring(uint entries, uint completionEntries = 0, uint flags = DefaultSetupFlags)
    {
        Handle = Setup(entries, completionEntries, flags, out io_uring_params parameters);
        _fd = Handle.Value;
        Features = parameters.features;
        SetupFlags = parameters.flags;
        try
        {
            if ((Features & IORING_FEAT_NODROP) == 0)
                throw new SystemCallException("io_uring_setup", EOPNOTSUPP);
            (_sqMemory, _cqMemory, _sqeMemory) = MapRings(Handle, parameters);
        }
        catch
        {
            Handle.Dispose();
            throw;
        }

        // SAFETY: the kernel's offsets lie inside the mappings it sized; Dispose is the only one to unmap them.
        byte* sq = _sqMemory.Pointer;
        byte* cq = _cqMemory.Pointer;
        _sqHead = (uint*)(sq + parameters.sq_off.head);
        _sqTail = (uint*)(sq + parameters.sq_off.tail);
        _sqFlags = (uint*)(sq + parameters.sq_off.flags);
        _sqMask = *(uint*)(sq + parameters.sq_off.ring_mask);
        _cqHead = (uint*)(cq + parameters.cq_off.head);
        _cqTail = (uint*)(cq + parameters.cq_off.tail);
        _cqMask = *(uint*)(cq + parameters.cq_off.ring_mask);
        _cqes = (io_uring_cqe*)(cq + parameters.cq_off.cqes);
        _sqes = (io_uring_sqe*)_sqeMemory.Pointer;
        SubmissionEntries = parameters.sq_entries;
        CompletionEntries = parameters.cq_entries;
        _sqLocalTail = *_sqTail;
        _cqLocalHead = *_cqHead;

        // Slot n of the index array always names entry n, so submitting is moving the tail.
        var array = (uint*)(sq + parameters.sq_off.array);
        for (uint i = 0; i < SubmissionEntries; i++)
            array[i] = i;
    }

    /// <summary>Readable while completions wait: for epoll.</summary>
    public FileDescriptor Handle { get; }

    public uint SubmissionEntries { get; }

    public uint CompletionEntries { get; }

    /// <summary>IORING_FEAT_ flags of this kernel.</summary>
    public uint Features { get; }

    /// <summary>The IORING_SETUP_ flags this kernel granted.</summary>
    public uint SetupFlags { get; }

    /// <summary>Entries taken but not yet consumed by the kernel.</summary>
    public uint Unsubmitted => _sqLocalTail - Volatile.Read(ref *_sqHead);

    /// <summary>A zeroed entry to fill, or false when the queue is full: submit first.</summary>
    public bool TryGetSqe(out io_uring_sqe* sqe)
    {
        // Acquire, with the kernel's release of the head: it has read the entry we are about to overwrite.
        if (_sqLocalTail - Volatile.Read(ref *_sqHead) >= SubmissionEntries)
        {
            sqe = null;
            return false;
        }

        sqe = &_sqes[_sqLocalTail++ & _sqMask];
        *sqe = default;
        return true;
    }

    /// <summary>Hands the filled entries to the kernel without waiting.</summary>
    /// <returns>How many it took, or -errno: -EAGAIN and -EBUSY mean take completions and try again.</returns>
    public int Submit()
    {
        uint count = Publish();
        uint pending = Volatile.Read(ref *_sqFlags) & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN);
        if (count == 0 && pending == 0)
            return 0;
        return Enter(count, 0, pending != 0 ? IORING_ENTER_GETEVENTS : 0, null);
    }

    /// <summary>Hands the filled entries to the kernel and waits until that many completions can be taken.</summary>
    /// <param name="minComplete">1 or more; 0 does not wait.</param>
    /// <param name="timeout">Null waits for ever.</param>
    /// <returns>How many entries it took, or -errno: -ETIME when the time was over and nothing was taken.</returns>
    public int SubmitAndWait(uint minComplete = 1, TimeSpan? timeout = null)
    {
        uint count = Publish();
        if (timeout is null)
            return Enter(count, minComplete, IORING_ENTER_GETEVENTS, null);
        return (Features & IORING_FEAT_EXT_ARG) != 0 && !WithoutExtendedArgument
            ? WaitWithTimeout(count, minComplete, timeout.Value)
            : WaitByPoll(count, timeout.Value);
    }

    /// <summary>The oldest completion, which stays in the queue until <see cref="AdvanceCq"/>.</summary>
    public bool TryPeekCqe(out io_uring_cqe cqe)
    {
        // Acquire, with the kernel's release of the tail: the entry it wrote before is visible.
        if (_cqLocalHead == Volatile.Read(ref *_cqTail) && !Flush())
        {
            cqe = default;
            return false;
        }

        cqe = _cqes[_cqLocalHead & _cqMask];
        return true;
    }

    /// <summary>Gives the places of the oldest completions back to the kernel.</summary>
    public void AdvanceCq(uint count = 1)
    {
        _cqLocalHead += count;

        // Release, with the kernel's acquire of the head: our reads of the entries come before it reuses them.
        Volatile.Write(ref *_cqHead, _cqLocalHead);
    }

    /// <summary>For tests: waits as on kernels before 5.11.</summary>
    internal bool WithoutExtendedArgument { get; set; }

    /// <summary>Whether this process may have a ring at all: containers and sysctl kernel.io_uring_disabled refuse it.</summary>
    public static bool IsSupported { get; } = Probe();

    public void Dispose()
    {
        Handle.Dispose();
        _sqeMemory.Dispose();
        _cqMemory.Dispose();
        _sqMemory.Dispose();
    }

    // Completions the kernel holds back: they did not fit, or their task work waits for us to enter the kernel.
    private bool Flush()
    {
        if ((Volatile.Read(ref *_sqFlags) & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)) == 0)
            return false;
        Enter(0, 0, IORING_ENTER_GETEVENTS, null);
        return _cqLocalHead != Volatile.Read(ref *_cqTail);
    }

    private uint Publish()
    {
        // Release, with the kernel's acquire of the tail: it sees the entries filled before.
        Volatile.Write(ref *_sqTail, _sqLocalTail);
        return _sqLocalTail - Volatile.Read(ref *_sqHead);
    }

    private int Enter(uint count, uint minComplete, uint flags, io_uring_getevents_arg* arg)
    {
        long result;
        do
        {
            result = io_uring_enter(_fd, count, minComplete, flags, arg, arg == null ? 0 : (nuint)sizeof(io_uring_getevents_arg));
        }
        while (result < 0 && errno == EINTR);

        return result >= 0 ? (int)result : -errno;
    }

    private int WaitWithTimeout(uint count, uint minComplete, TimeSpan timeout)
    {
        long start = Stopwatch.GetTimestamp();
        TimeSpan left = timeout;
        while (true)
        {
            long ticks = Math.Max(left.Ticks, 0);
            var time = new __kernel_timespec { tv_sec = ticks / TimeSpan.TicksPerSecond, tv_nsec = ticks % TimeSpan.TicksPerSecond * 100 };
            var arg = new io_uring_getevents_arg { ts = (ulong)&time };
            int result = io_uring_enter(
                _fd, count, minComplete, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, (nuint)sizeof(io_uring_getevents_arg));
            if (result >= 0)
                return result;
            int error = errno;
            if (error != EINTR)
                return -error;
            left = timeout - Stopwatch.GetElapsedTime(start);
        }
    }

    // Before Linux 5.11 the wait itself takes no timeout; one completion ends this one.
    private int WaitByPoll(uint count, TimeSpan timeout)
    {
        int submitted = count == 0 ? 0 : Enter(count, 0, 0, null);
        if (submitted < 0)
            return submitted;
        var ring = new pollfd { fd = _fd, events = POLLIN };
        int ready = FileIO.Poll(new Span<pollfd>(ref ring), (int)Math.Clamp(Math.Ceiling(timeout.TotalMilliseconds), 0, int.MaxValue));
        return ready switch
        {
            > 0 => submitted,
            0 => submitted > 0 ? submitted : -ETIME,
            _ => ready,
        };
    }
}
