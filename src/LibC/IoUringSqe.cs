using static VhostXen.Linux.LibC;

namespace VhostXen.Linux;

/// <summary>
/// Fills entries that <see cref="IoUring.TryGetSqe"/> gave. Memory and descriptors named in an entry must live until its
/// completion; the iovec array until it is submitted.
/// </summary>
public static unsafe class IoUringSqe
{
    public static void Nop(io_uring_sqe* sqe, ulong userData) =>
        Fill(sqe, IORING_OP_NOP, -1, null, 0, 0, userData);

    /// <param name="offset">In bytes; -1 is the file's own position.</param>
    /// <param name="flags">RWF_ flags.</param>
    public static void ReadV(io_uring_sqe* sqe, int fd, iovec* iov, uint count, ulong offset, ulong userData, int flags = 0)
    {
        Fill(sqe, IORING_OP_READV, fd, iov, count, offset, userData);
        sqe->rw_flags = (uint)flags;
    }

    /// <inheritdoc cref="ReadV"/>
    public static void WriteV(io_uring_sqe* sqe, int fd, iovec* iov, uint count, ulong offset, ulong userData, int flags = 0)
    {
        Fill(sqe, IORING_OP_WRITEV, fd, iov, count, offset, userData);
        sqe->rw_flags = (uint)flags;
    }

    /// <inheritdoc cref="ReadV"/>
    public static void Read(io_uring_sqe* sqe, int fd, void* buffer, uint length, ulong offset, ulong userData, int flags = 0)
    {
        Fill(sqe, IORING_OP_READ, fd, buffer, length, offset, userData);
        sqe->rw_flags = (uint)flags;
    }

    /// <inheritdoc cref="ReadV"/>
    public static void Write(io_uring_sqe* sqe, int fd, void* buffer, uint length, ulong offset, ulong userData, int flags = 0)
    {
        Fill(sqe, IORING_OP_WRITE, fd, buffer, length, offset, userData);
        sqe->rw_flags = (uint)flags;
    }

    public static void Fsync(io_uring_sqe* sqe, int fd, bool dataOnly, ulong userData)
    {
        Fill(sqe, IORING_OP_FSYNC, fd, null, 0, 0, userData);
        sqe->fsync_flags = dataOnly ? IORING_FSYNC_DATASYNC : 0;
    }

    public static void Fallocate(io_uring_sqe* sqe, int fd, int mode, ulong offset, ulong length, ulong userData)
    {
        Fill(sqe, IORING_OP_FALLOCATE, fd, null, (uint)mode, offset, userData);
        sqe->addr = length;
    }

    /// <param name="events">POLL flags; the completion's res holds those that are true.</param>
    /// <param name="multishot">
    /// Completes again and again, with IORING_CQE_F_MORE; a completion without that flag is the last, and the poll must be added anew.
    /// </param>
    public static void PollAdd(io_uring_sqe* sqe, int fd, short events, bool multishot, ulong userData)
    {
        Fill(sqe, IORING_OP_POLL_ADD, fd, null, multishot ? IORING_POLL_ADD_MULTI : 0, 0, userData);
        uint mask = (ushort)events;
        sqe->poll32_events = BitConverter.IsLittleEndian ? mask : mask << 16;
    }

    /// <param name="target">The user data of the poll; it completes with -ECANCELED.</param>
    public static void PollRemove(io_uring_sqe* sqe, ulong target, ulong userData) =>
        Fill(sqe, IORING_OP_POLL_REMOVE, -1, (void*)target, 0, 0, userData);

    /// <summary>Completes with -ETIME after the time, or with 0 after <paramref name="completions"/> others (if not 0).</summary>
    /// <param name="time">Must live until submitted.</param>
    public static void Timeout(io_uring_sqe* sqe, __kernel_timespec* time, uint completions, ulong userData) =>
        Fill(sqe, IORING_OP_TIMEOUT, -1, time, 1, completions, userData);

    /// <summary>Cancels by user data. Completes with 0, -ENOENT, or -EALREADY when the operation is past stopping.</summary>
    public static void Cancel(io_uring_sqe* sqe, ulong target, ulong userData) =>
        Fill(sqe, IORING_OP_ASYNC_CANCEL, -1, (void*)target, 0, 0, userData);

    private static void Fill(io_uring_sqe* sqe, byte opcode, int fd, void* address, uint length, ulong offset, ulong userData)
    {
        // SAFETY: sqe points into the ring's mapping, at an entry the kernel does not read before the tail moves.
        sqe->opcode = opcode;
        sqe->fd = fd;
        sqe->addr = (ulong)address;
        sqe->len = length;
        sqe->off = offset;
        sqe->user_data = userData;
    }
}
