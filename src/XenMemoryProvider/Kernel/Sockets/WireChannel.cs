using System.Runtime.InteropServices;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Kernel.Sockets;

/// <summary>Whole messages over a stream socket, the same for both sides. Not for two threads at once.</summary>
internal sealed unsafe class WireChannel(FileDescriptor socket) : IDisposable
{
    private readonly List<FileDescriptor> _received = [];

    public FileDescriptor Socket => socket;

    /// <summary>Descriptors of the last header received; who takes one removes it here.</summary>
    public List<FileDescriptor> Descriptors => _received;

    /// <returns>False: the connection is over.</returns>
    public bool Send(int opOrResult, ReadOnlySpan<byte> body, ReadOnlySpan<int> fds = default)
    {
        var header = new Wire.Header { Length = (uint)body.Length, OpOrResult = opOrResult, FdCount = (uint)fds.Length };
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(new ReadOnlySpan<Wire.Header>(in header));

        // Small messages in one call; the descriptors go with the first byte in any case.
        const int together = 4096;
        if (body.Length > together) return SendAll(bytes, fds) && SendAll(body, default);
        Span<byte> message = stackalloc byte[sizeof(Wire.Header) + together];
        bytes.CopyTo(message);
        body.CopyTo(message[sizeof(Wire.Header)..]);
        return SendAll(message[..(sizeof(Wire.Header) + body.Length)], fds);
    }

    /// <returns>False: the connection is over, or the peer broke the protocol.</returns>
    public bool ReceiveHeader(out Wire.Header header, int maxFds)
    {
        CloseDescriptors();
        header = default;
        Span<byte> bytes = MemoryMarshal.AsBytes(new Span<Wire.Header>(ref header));
        for (int done = 0; done < bytes.Length;)
        {
            nint count = FdSocket.ReceiveWithFds(socket, bytes[done..], _received, maxFds, 0, out _);
            if (count <= 0) return false;
            done += (int)count;
        }

        return header.Length <= Wire.MaxBody && header.FdCount == (uint)_received.Count;
    }

    /// <returns>False: the connection is over.</returns>
    public bool ReceiveBody(Span<byte> body)
    {
        using FileDescriptor.Borrowed fd = socket.Borrow();
        fixed (byte* to = body)
        {
            for (int done = 0; done < body.Length;)
            {
                nint count = FileIO.Read(fd.Value, to + done, (nuint)(body.Length - done));
                if (count <= 0) return false;
                done += (int)count;
            }
        }

        return true;
    }

    /// <summary>Ends one direction of the connection or both; whoever waits on it wakes up.</summary>
    public void Shutdown(int how = SHUT_RDWR)
    {
        using FileDescriptor.Borrowed fd = socket.Borrow();
        _ = shutdown(fd.Value, how);
    }

    /// <summary>Waits until the peer has closed its end too.</summary>
    public void WaitForEnd(int timeoutMs)
    {
        using FileDescriptor.Borrowed fd = socket.Borrow();
        var end = new pollfd { fd = fd.Value, events = POLLIN };
        _ = FileIO.Poll(new Span<pollfd>(ref end), timeoutMs);
    }

    public void Dispose()
    {
        CloseDescriptors();
        socket.Dispose();
    }

    private void CloseDescriptors()
    {
        foreach (FileDescriptor descriptor in _received) descriptor.Dispose();
        _received.Clear();
    }

    private bool SendAll(ReadOnlySpan<byte> bytes, ReadOnlySpan<int> fds)
    {
        while (!bytes.IsEmpty)
        {
            nint sent = FdSocket.SendWithFds(socket, bytes, fds);
            if (sent <= 0) return false;
            bytes = bytes[(int)sent..];
            fds = default;
        }

        return true;
    }
}
