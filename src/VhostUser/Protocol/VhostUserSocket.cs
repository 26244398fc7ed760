using System.Net.Sockets;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace VhostUser.Protocol;

/// <summary>
/// One end of a vhost-user connection. Reads are exact: twelve bytes of header with the descriptors that belong
/// to it, then the payload, which must bring none. (One large read would glue a message without descriptors to
/// the descriptors of the next one, and nothing would say whose they were.)
/// One receiver and one sender at a time; waiting costs no thread, so a slow peer holds up nobody else.
/// </summary>
internal sealed class VhostUserSocket : IDisposable
{
    /// <summary>The largest payload that any message has: a full memory table of 40-byte regions.</summary>
    public const int MaxPayload = 8 + (MemoryTable.MaxRegions * MemoryTable.XenRegionSize);

    private readonly Socket _socket;

    // The same descriptor under the type that LibC wants; _socket owns it.
    private readonly FileDescriptor _descriptor;

    /// <param name="connection">A connected Unix stream socket; owned by this object from here on.</param>
    public VhostUserSocket(FileDescriptor connection)
    {
        connection.SetNonBlocking(true);
        var handle = new SafeSocketHandle(connection.Value, ownsHandle: true);
        connection.SetHandleAsInvalid();
        try
        {
            _socket = new Socket(handle);
        }
        catch
        {
            handle.Dispose();
            throw;
        }

        _descriptor = new FileDescriptor((int)handle.DangerousGetHandle(), ownsHandle: false);
    }

    /// <summary>Waits for the next message.</summary>
    /// <param name="payloadLimit">Largest payload taken for a header, asked before any of it is read.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <returns>The message, which the caller disposes, or null when the peer has hung up between two messages.</returns>
    /// <exception cref="ProtocolException">It is malformed: no further message can be read.</exception>
    /// <exception cref="IOException">The connection failed.</exception>
    public async ValueTask<VhostUserMessage?> ReceiveAsync(Func<MessageHeader, int> payloadLimit, CancellationToken cancellation)
    {
        var fds = new ReceivedFds();
        try
        {
            byte[] head = new byte[MessageHeader.WireSize];
            if (!await ReceiveExactlyAsync(head, fds, "header", cancellation).ConfigureAwait(false))
            {
                fds.Dispose();
                return null;
            }

            MessageHeader header = MessageHeader.Parse(head);
            int limit = Math.Min(payloadLimit(header), MaxPayload);
            if (header.Size > limit)
                throw new ProtocolException($"message {header.Request}", $"payload of {header.Size} bytes, at most {limit} are expected");

            byte[] payload = header.Size == 0 ? [] : new byte[header.Size];
            if (payload.Length != 0 && !await ReceiveExactlyAsync(payload, null, "payload", cancellation).ConfigureAwait(false))
                throw new ProtocolException($"message {header.Request}", "the connection ended before its payload");

            return new VhostUserMessage(header, payload, fds);
        }
        catch
        {
            fds.Dispose();
            throw;
        }
    }

    /// <summary>Sends a message with a payload of one value.</summary>
    /// <param name="fd">Travels with it and stays the caller's.</param>
    public ValueTask SendAsync<T>(uint request, MessageFlags flags, in T payload, FileDescriptor? fd, CancellationToken cancellation)
        where T : struct, IPayload<T>
    {
        byte[] message = Begin(request, flags, T.WireSize);
        var writer = new MessageWriter(message.AsSpan(MessageHeader.WireSize));
        payload.Write(ref writer);
        return SendAsync(message, fd is null ? [] : [fd], cancellation);
    }

    /// <summary>Sends a message whose payload is there as bytes.</summary>
    public ValueTask SendAsync(uint request, MessageFlags flags, ReadOnlySpan<byte> payload, IReadOnlyList<FileDescriptor> fds, CancellationToken cancellation)
    {
        byte[] message = Begin(request, flags, payload.Length);
        payload.CopyTo(message.AsSpan(MessageHeader.WireSize));
        return SendAsync(message, fds, cancellation);
    }

    /// <summary>
    /// Whether the peer has gone, asked without reading. For somebody who waits for something that only a living
    /// peer will bring about.
    /// </summary>
    public bool IsHungUp
    {
        get
        {
            bool added = false;
            SafeSocketHandle handle = _socket.SafeHandle;
            handle.DangerousAddRef(ref added);
            try
            {
                Span<pollfd> poll = [new pollfd { fd = _descriptor.Value, events = POLLRDHUP }];
                return FileIO.Poll(poll, 0) > 0 && (poll[0].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
            }
            finally
            {
                handle.DangerousRelease();
            }
        }
    }

    /// <summary>The process that made the other end, or listened for it (SO_PEERCRED); 0 where it is not visible from here.</summary>
    public unsafe int PeerProcess
    {
        get
        {
            ucred credentials = default;
            _socket.GetRawSocketOption(SOL_SOCKET, SO_PEERCRED, new Span<byte>(&credentials, sizeof(ucred)));
            return credentials.pid;
        }
    }

    /// <summary>Ends both directions: a receiver waiting elsewhere sees the end of the connection.</summary>
    public void Shutdown()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // It has ended already.
        }
    }

    public void Dispose()
    {
        _socket.Dispose();
        _descriptor.Dispose();
    }

    private static byte[] Begin(uint request, MessageFlags flags, int size)
    {
        byte[] message = new byte[MessageHeader.WireSize + size];
        new MessageHeader(request, flags | MessageFlags.Version1, (uint)size).Write(message);
        return message;
    }

    /// <summary>Fills the buffer.</summary>
    /// <returns>False when the connection ended before the first byte.</returns>
    private async ValueTask<bool> ReceiveExactlyAsync(byte[] buffer, ReceivedFds? fds, string part, CancellationToken cancellation)
    {
        int got = 0;
        while (got < buffer.Length)
        {
            // Descriptors belong to the first byte of a message and to no other.
            nint count = Receive(buffer.AsSpan(got), got == 0 ? fds : null, out bool strayFds);
            if (strayFds)
                throw new ProtocolException("message", fds is not null && got == 0 ? "too many descriptors" : $"descriptors inside its {part}");

            if (count > 0)
            {
                got += (int)count;
            }
            else if (count == -EAGAIN)
            {
                // A receive of nothing waits until there is something; it looks at the socket without taking from it.
                await _socket.ReceiveAsync(Memory<byte>.Empty, SocketFlags.None, cancellation).ConfigureAwait(false);
            }
            else if (count is 0 or -ECONNRESET)
            {
                return got == 0 ? false : throw new ProtocolException("message", $"the connection ended inside its {part}");
            }
            else
            {
                throw new SystemCallException("recvmsg", (int)-count);
            }
        }

        return true;
    }

    private nint Receive(Span<byte> buffer, ReceivedFds? fds, out bool truncated)
    {
        bool added = false;
        SafeSocketHandle handle = _socket.SafeHandle;
        handle.DangerousAddRef(ref added);
        try
        {
            return FdSocket.ReceiveWithFds(_descriptor, buffer, fds?.Incoming ?? [], fds is null ? 0 : SCM_MAX_FD, MSG_DONTWAIT, out truncated);
        }
        finally
        {
            handle.DangerousRelease();
        }
    }

    private async ValueTask SendAsync(byte[] message, IReadOnlyList<FileDescriptor> fds, CancellationToken cancellation)
    {
        int sent = 0;
        while (sent < message.Length)
        {
            nint count = Send(message.AsSpan(sent), sent == 0 ? fds : []);
            if (count > 0)
            {
                sent += (int)count;
            }
            else if (count != -EAGAIN)
            {
                throw new SystemCallException("sendmsg", (int)-count);
            }
            else if (sent != 0 || fds.Count == 0)
            {
                // Without descriptors the runtime's own send waits for room.
                sent += await _socket.SendAsync(message.AsMemory(sent), SocketFlags.None, cancellation).ConfigureAwait(false);
            }
            else
            {
                // A peer that does not read while descriptors wait to go: rare, and nothing in the runtime waits for room.
                await Task.Delay(1, cancellation).ConfigureAwait(false);
            }
        }
    }

    private nint Send(ReadOnlySpan<byte> bytes, IReadOnlyList<FileDescriptor> fds)
    {
        Span<int> numbers = stackalloc int[fds.Count];
        for (int i = 0; i < numbers.Length; i++)
            numbers[i] = fds[i].Value;

        bool added = false;
        SafeSocketHandle handle = _socket.SafeHandle;
        handle.DangerousAddRef(ref added);
        try
        {
            return FdSocket.SendWithFds(_descriptor, bytes, numbers, MSG_DONTWAIT);
        }
        finally
        {
            handle.DangerousRelease();
            GC.KeepAlive(fds);
        }
    }
}
