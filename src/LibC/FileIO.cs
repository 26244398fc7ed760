using static VhostXen.Linux.LibC;

namespace VhostXen.Linux;

/// <summary>
/// Reads and writes with their errors as values: a count, or -errno. EINTR is retried; EAGAIN and short counts are results.
/// The descriptor and the memory must stay valid during the call.
/// </summary>
public static unsafe class FileIO
{
    /// <summary>preadv2; <paramref name="flags"/> are RWF_ flags. -EAGAIN: RWF_NOWAIT would have blocked.</summary>
    public static nint ReadV(int fd, iovec* iov, int count, long offset, int flags = 0)
    {
        nint result;
        do
        {
            result = preadv2(fd, iov, count, offset, flags);
        }
        while (result < 0 && errno == EINTR);

        return result >= 0 ? result : -errno;
    }

    /// <summary>pwritev2; <paramref name="flags"/> are RWF_ flags.</summary>
    public static nint WriteV(int fd, iovec* iov, int count, long offset, int flags = 0)
    {
        nint result;
        do
        {
            result = pwritev2(fd, iov, count, offset, flags);
        }
        while (result < 0 && errno == EINTR);

        return result >= 0 ? result : -errno;
    }

    public static nint Read(int fd, void* buffer, nuint length)
    {
        nint result;
        do
        {
            result = read(fd, buffer, length);
        }
        while (result < 0 && errno == EINTR);

        return result >= 0 ? result : -errno;
    }

    public static nint Write(int fd, void* buffer, nuint length)
    {
        nint result;
        do
        {
            result = write(fd, buffer, length);
        }
        while (result < 0 && errno == EINTR);

        return result >= 0 ? result : -errno;
    }

    public static nint Pread(int fd, void* buffer, nuint length, long offset)
    {
        nint result;
        do
        {
            result = pread(fd, buffer, length, offset);
        }
        while (result < 0 && errno == EINTR);

        return result >= 0 ? result : -errno;
    }

    public static nint Pwrite(int fd, void* buffer, nuint length, long offset)
    {
        nint result;
        do
        {
            result = pwrite(fd, buffer, length, offset);
        }
        while (result < 0 && errno == EINTR);

        return result >= 0 ? result : -errno;
    }

    /// <summary>0 or -errno; -EOPNOTSUPP where the file system cannot.</summary>
    public static int Fallocate(int fd, int mode, long offset, long length)
    {
        int result;
        do
        {
            result = fallocate(fd, mode, offset, length);
        }
        while (result < 0 && errno == EINTR);

        return result >= 0 ? result : -errno;
    }

    /// <summary>0 or -errno.</summary>
    public static int Fdatasync(int fd)
    {
        int result;
        do
        {
            result = fdatasync(fd);
        }
        while (result < 0 && errno == EINTR);

        return result >= 0 ? result : -errno;
    }

    /// <summary>ioctl with a pointer: the result, or -errno.</summary>
    public static int Ioctl(int fd, nuint request, void* argument)
    {
        int result;
        do
        {
            result = ioctl(fd, request, argument);
        }
        while (result < 0 && errno == EINTR);

        return result >= 0 ? result : -errno;
    }

    /// <summary>poll: how many are ready, 0 when the time is over, or -errno.</summary>
    /// <param name="timeoutMs">-1 waits for ever.</param>
    public static int Poll(Span<pollfd> fds, int timeoutMs)
    {
        // SAFETY: the span is pinned during the call, which writes fds.Length entries.
        fixed (pollfd* first = fds)
        {
            var deadline = Deadline.In(timeoutMs);
            int result;
            do
            {
                result = poll(first, (nuint)fds.Length, deadline.LeftMs);
            }
            while (result < 0 && errno == EINTR);

            return result >= 0 ? result : -errno;
        }
    }

    /// <summary>Type, size and alignment demands of an open file.</summary>
    /// <exception cref="SystemCallException">The errno of statx.</exception>
    public static statx Stat(FileDescriptor file)
    {
        using FileDescriptor.Borrowed fd = file.Borrow();
        statx result;
        if (statx(fd.Value, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, &result) < 0)
            throw SystemCallException.FromErrno("statx");
        return result;
    }
}
