using static VhostXen.Linux.LibC;

namespace VhostXen.Linux;

public sealed unsafe partial class IoUring
{
    /// <summary>Pins memory for READ_FIXED and WRITE_FIXED. 0 or -errno: -EFAULT for foreign and grant mappings, -ENOMEM over RLIMIT_MEMLOCK.</summary>
    public int RegisterBuffers(ReadOnlySpan<iovec> buffers)
    {
        // SAFETY: the kernel copies the array during the call; the memory it names is the caller's to keep until unregistered.
        fixed (iovec* first = buffers)
            return Register(IORING_REGISTER_BUFFERS, first, (uint)buffers.Length);
    }

    /// <summary>0 or -errno; waits for operations that use the buffers.</summary>
    public int UnregisterBuffers() => Register(IORING_UNREGISTER_BUFFERS, null, 0);

    /// <summary>Makes IOSQE_FIXED_FILE indices; -1 is an empty place. 0 or -errno.</summary>
    public int RegisterFiles(ReadOnlySpan<int> fds)
    {
        // SAFETY: the kernel copies the array and takes references of its own.
        fixed (int* first = fds)
            return Register(IORING_REGISTER_FILES, first, (uint)fds.Length);
    }

    /// <summary>0 or -errno.</summary>
    public int UnregisterFiles() => Register(IORING_UNREGISTER_FILES, null, 0);

    /// <summary>Signals an eventfd at each completion. 0 or -errno.</summary>
    public int RegisterEventFd(EventFd notifier)
    {
        using FileDescriptor.Borrowed fd = notifier.Handle.Borrow();
        int value = fd.Value;
        return Register(IORING_REGISTER_EVENTFD, &value, 1);
    }

    /// <summary>0 or -errno.</summary>
    public int UnregisterEventFd() => Register(IORING_UNREGISTER_EVENTFD, null, 0);

    /// <summary>Whether this kernel knows an IORING_OP_.</summary>
    public bool Supports(byte operation)
    {
        const int count = 256;
        byte* answer = stackalloc byte[sizeof(io_uring_probe) + (count * sizeof(io_uring_probe_op))];
        new Span<byte>(answer, sizeof(io_uring_probe) + (count * sizeof(io_uring_probe_op))).Clear();
        if (Register(IORING_REGISTER_PROBE, answer, count) < 0)
            return false;
        var ops = (io_uring_probe_op*)(answer + sizeof(io_uring_probe));
        return operation <= ((io_uring_probe*)answer)->last_op && (ops[operation].flags & IO_URING_OP_SUPPORTED) != 0;
    }

    private int Register(uint opcode, void* arg, uint count)
    {
        int result;
        do
        {
            result = io_uring_register(_fd, opcode, arg, count);
        }
        while (result < 0 && errno == EINTR);

        return result >= 0 ? result : -errno;
    }
}
