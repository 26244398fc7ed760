using System.Text;
using static VhostXen.Linux.LibC;

namespace VhostXen.Linux;

/// <summary>
/// Unix stream sockets that carry file descriptors. Connecting throws; sending and receiving answer with a count or -errno,
/// EAGAIN among them.
/// </summary>
public static unsafe class FdSocket
{
    // All descriptors one message can carry, and the credentials and pid descriptor that an inherited socket may be set to add.
    private const int ControlCapacity = 16 + (SCM_MAX_FD * sizeof(int)) + 4 + 32 + 24;

    // The kernel's enum for SCM_SECURITY's neighbours: a pid descriptor is installed in us like a passed one.
    private static bool CarriesDescriptors(int type) => type is SCM_RIGHTS or SCM_PIDFD;

    /// <summary>Two connected sockets.</summary>
    /// <param name="flags">SOCK_NONBLOCK or 0.</param>
    /// <exception cref="SystemCallException">EMFILE or ENFILE.</exception>
    public static (FileDescriptor First, FileDescriptor Second) Pair(int flags = 0)
    {
        int* fds = stackalloc int[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, fds) < 0)
            throw SystemCallException.FromErrno("socketpair");
        return (new FileDescriptor(fds[0]), new FileDescriptor(fds[1]));
    }

    /// <summary>A listening socket at a path that must not exist.</summary>
    /// <param name="flags">SOCK_NONBLOCK or 0.</param>
    /// <exception cref="SystemCallException">EADDRINUSE: the path exists; ENAMETOOLONG: over 107 bytes; else of bind or listen.</exception>
    public static FileDescriptor Listen(string path, int backlog = 16, int flags = 0)
    {
        sockaddr_un address = Address(path, out uint length);
        FileDescriptor listener = FileDescriptor.FromResult(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), "socket");
        if (bind(listener.Value, &address, length) == 0 && listen(listener.Value, backlog) == 0)
            return listener;
        SystemCallException failure = SystemCallException.FromErrno($"bind {path}");
        listener.Dispose();
        throw failure;
    }

    /// <exception cref="SystemCallException">ECONNREFUSED: nobody listens; ENOENT; EAGAIN: the backlog is full and flags say SOCK_NONBLOCK.</exception>
    public static FileDescriptor Connect(string path, int flags = 0)
    {
        sockaddr_un address = Address(path, out uint length);
        FileDescriptor connection = FileDescriptor.FromResult(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), "socket");
        int result;
        do
        {
            result = connect(connection.Value, &address, length);
        }
        while (result < 0 && errno == EINTR);

        if (result == 0)
            return connection;
        SystemCallException failure = SystemCallException.FromErrno($"connect {path}");
        connection.Dispose();
        throw failure;
    }

    /// <summary>The next connection, or null when there is none on a non-blocking listener or the caller hung up first.</summary>
    /// <exception cref="SystemCallException">EMFILE and the like.</exception>
    public static FileDescriptor? Accept(FileDescriptor listener, int flags = 0)
    {
        using FileDescriptor.Borrowed fd = listener.Borrow();
        int result;
        do
        {
            result = accept4(fd.Value, null, null, SOCK_CLOEXEC | flags);
        }
        while (result < 0 && errno == EINTR);

        return result < 0 && errno is EAGAIN or ECONNABORTED ? null : FileDescriptor.FromResult(result, "accept4");
    }

    /// <summary>Sends bytes; the descriptors travel with the first of them and stay the sender's.</summary>
    /// <param name="bytes">At least one.</param>
    /// <param name="fds">At most 253.</param>
    /// <param name="flags">MSG_DONTWAIT or 0.</param>
    /// <returns>How many bytes went, possibly fewer than asked (the descriptors went), or -errno.</returns>
    public static nint SendWithFds(FileDescriptor socket, ReadOnlySpan<byte> bytes, ReadOnlySpan<int> fds, int flags = 0)
    {
        ArgumentOutOfRangeException.ThrowIfZero(bytes.Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(fds.Length, SCM_MAX_FD);
        using FileDescriptor.Borrowed fd = socket.Borrow();
        int payload = fds.Length * sizeof(int);
        ulong* control = stackalloc ulong[(ControlCapacity + 7) / 8];

        // SAFETY: the buffer is pinned, the control words are 8-aligned and hold CMSG_SPACE(253 * 4) bytes.
        fixed (byte* data = bytes)
        {
            var vector = new iovec { iov_base = data, iov_len = (nuint)bytes.Length };
            var message = new msghdr { msg_iov = &vector, msg_iovlen = 1 };
            if (payload != 0)
            {
                var header = (cmsghdr*)control;
                header->cmsg_len = CMSG_LEN((nuint)payload);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                fds.CopyTo(new Span<int>(header + 1, fds.Length));
                message.msg_control = control;
                message.msg_controllen = CMSG_SPACE((nuint)payload);
            }

            nint sent;
            do
            {
                sent = sendmsg(fd.Value, &message, flags | MSG_NOSIGNAL);
            }
            while (sent < 0 && errno == EINTR);

            return sent >= 0 ? sent : -errno;
        }
    }

    /// <summary>Receives bytes and the descriptors that came with them, close-on-exec.</summary>
    /// <param name="buffer">At least one byte.</param>
    /// <param name="received">Gets the descriptors, in order; the caller owns them.</param>
    /// <param name="maxFds">More than that is an error.</param>
    /// <param name="flags">MSG_DONTWAIT, MSG_WAITALL, MSG_PEEK or 0.</param>
    /// <param name="truncated">
    /// Descriptors were lost or were more than <paramref name="maxFds"/>: all that arrived are closed, none is in
    /// <paramref name="received"/> and the result is -EMSGSIZE.
    /// </param>
    /// <returns>A count of bytes, 0 when the peer closed, or -errno.</returns>
    public static nint ReceiveWithFds(
        FileDescriptor socket, Span<byte> buffer, ICollection<FileDescriptor> received, int maxFds, int flags, out bool truncated)
    {
        ArgumentOutOfRangeException.ThrowIfZero(buffer.Length);
        using FileDescriptor.Borrowed fd = socket.Borrow();
        ulong* control = stackalloc ulong[(ControlCapacity + 7) / 8];
        var message = new msghdr { msg_iovlen = 1 };
        nint count;

        // SAFETY: both buffers outlive the call and their lengths are the ones given.
        fixed (byte* data = buffer)
        {
            var vector = new iovec { iov_base = data, iov_len = (nuint)buffer.Length };
            message.msg_iov = &vector;
            do
            {
                message.msg_control = control;
                message.msg_controllen = ControlCapacity;
                count = recvmsg(fd.Value, &message, flags | MSG_CMSG_CLOEXEC);
            }
            while (count < 0 && errno == EINTR);
        }

        truncated = false;
        if (count < 0)
            return -errno;
        if (message.msg_controllen == 0 && (message.msg_flags & MSG_CTRUNC) == 0)
            return count;

        int* fds = stackalloc int[ControlCapacity / sizeof(int)];
        int found = CollectDescriptors(&message, fds, out bool foreign);
        truncated = (message.msg_flags & MSG_CTRUNC) != 0 || foreign || found > maxFds;
        if (truncated)
        {
            for (int i = 0; i < found; i++)
                close(fds[i]);
            return -EMSGSIZE;
        }

        Own(new ReadOnlySpan<int>(fds, found), received);
        return count;
    }

    // Every descriptor the kernel installed, whatever kind of message brought it.
    private static int CollectDescriptors(msghdr* message, int* fds, out bool foreign)
    {
        int found = 0;
        foreign = false;

        // SAFETY: the kernel filled msg_controllen bytes; a header is read only where one fits and its length is checked
        // against what is left, so the walk ends and never leaves the buffer.
        var at = (byte*)message->msg_control;
        nuint left = message->msg_controllen;
        while (left >= (nuint)sizeof(cmsghdr))
        {
            var header = (cmsghdr*)at;
            if (header->cmsg_len < (nuint)sizeof(cmsghdr) || header->cmsg_len > left)
                break;
            if (header->cmsg_level == SOL_SOCKET && CarriesDescriptors(header->cmsg_type))
            {
                int count = (int)((header->cmsg_len - (nuint)sizeof(cmsghdr)) / sizeof(int));
                new ReadOnlySpan<int>(header + 1, count).CopyTo(new Span<int>(fds + found, count));
                found += count;
                foreign |= header->cmsg_type != SCM_RIGHTS;
            }

            nuint step = Math.Min(CMSG_ALIGN(header->cmsg_len), left);
            at += step;
            left -= step;
        }

        return found;
    }

    // From numbers to owners; what cannot be owned is closed.
    private static void Own(ReadOnlySpan<int> fds, ICollection<FileDescriptor> received)
    {
        int owned = 0;
        try
        {
            while (owned < fds.Length)
            {
                var descriptor = new FileDescriptor(fds[owned++]);
                received.Add(descriptor);
            }
        }
        catch
        {
            for (; owned < fds.Length; owned++)
                close(fds[owned]);
            throw;
        }
    }

    private static sockaddr_un Address(string path, out uint length)
    {
        int bytes = Encoding.UTF8.GetByteCount(path);
        if (bytes is 0 or > 107 || path.Contains('\0'))
            throw new SystemCallException($"socket address '{path}'", bytes > 107 ? ENAMETOOLONG : EINVAL);
        var address = new sockaddr_un { sun_family = AF_UNIX };
        Encoding.UTF8.GetBytes(path, new Span<byte>(address.sun_path, 107));
        length = (uint)(sizeof(ushort) + bytes + 1);
        return address;
    }
}
