using static VhostXen.Linux.LibC;

namespace VhostXen.Linux;

/// <summary>An eventfd used as a doorbell: signals add up until one read takes them all.</summary>
public sealed unsafe class EventFd : IDisposable
{
    private static ReadOnlySpan<byte> LinkText => "anon_inode:[eventfd]"u8;

    private EventFd(FileDescriptor handle) => Handle = handle;

    /// <summary>For epoll, io_uring and for passing on. Owned by this object.</summary>
    public FileDescriptor Handle { get; }

    /// <exception cref="SystemCallException">EMFILE, ENFILE or ENOMEM.</exception>
    public static EventFd Create(bool nonBlocking = true, uint initial = 0) =>
        new(FileDescriptor.FromResult(eventfd(initial, EFD_CLOEXEC | (nonBlocking ? EFD_NONBLOCK : 0)), "eventfd"));

    /// <summary>
    /// Takes over a descriptor that came from outside and makes it non-blocking, so that nobody can stall the signalling
    /// thread with a full counter. It is closed if this throws.
    /// </summary>
    /// <exception cref="SystemCallException">EINVAL: it is not an eventfd, so its writes might block or fill a file.</exception>
    public static EventFd FromReceived(FileDescriptor received)
    {
        try
        {
            if (!IsEventFd(received))
                throw new SystemCallException("eventfd from peer", EINVAL);
            received.SetNonBlocking(true);
            return new EventFd(received);
        }
        catch
        {
            received.Dispose();
            throw;
        }
    }

    /// <summary>Adds 1. False when the counter is full, in which case the waiter has been woken by those before.</summary>
    public bool Signal()
    {
        using FileDescriptor.Borrowed fd = Handle.Borrow();
        ulong one = 1;
        return FileIO.Write(fd.Value, &one, sizeof(ulong)) == sizeof(ulong);
    }

    /// <summary>Takes all signals so far. False when there is none. A blocking eventfd waits.</summary>
    public bool TryRead(out ulong count)
    {
        using FileDescriptor.Borrowed fd = Handle.Borrow();
        ulong value;
        bool read = FileIO.Read(fd.Value, &value, sizeof(ulong)) == sizeof(ulong);
        count = read ? value : 0;
        return read;
    }

    /// <summary>Takes all signals so far; true when there was one.</summary>
    public bool Drain() => TryRead(out _);

    /// <summary>
    /// Frees a thread that waits in <see cref="Signal"/>: the open file is the peer's as well, who can make it block and fill
    /// its counter. For the end, as it takes signals that were the peer's.
    /// </summary>
    public void Unblock()
    {
        try
        {
            Handle.SetNonBlocking(true);
            Drain();
        }
        catch (SystemCallException)
        {
            // Not reached: setting a flag on an open eventfd does not fail.
        }
    }

    public void Dispose() => Handle.Dispose();

    private static bool IsEventFd(FileDescriptor received)
    {
        using FileDescriptor.Borrowed fd = received.Borrow();
        byte* text = stackalloc byte[64];
        nint length = readlink($"/proc/self/fd/{fd.Value}", text, 64);

        // Without /proc (some chroots) nothing can tell; the descriptor is at least open.
        return length < 0 ? fcntl(fd.Value, F_GETFD) >= 0 : new ReadOnlySpan<byte>(text, (int)length).SequenceEqual(LinkText);
    }
}
