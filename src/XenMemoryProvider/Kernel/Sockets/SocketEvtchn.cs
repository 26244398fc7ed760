using System.Runtime.InteropServices;
using VhostXen.Linux;
using XenMemoryProvider.Abi;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Kernel.Sockets;

/// <summary>
/// evtchn over a connection for binding, and a socket of its own for events: pending ports come out of it, what is unmasked or
/// signalled goes into it, and nobody waits for an answer.
/// </summary>
internal sealed unsafe class SocketEvtchn : IEvtchn
{
    private const int EventsPerSend = 64;

    private readonly WireConnection _connection;

    // A bit per port of this open; read without a lock by the threads that signal.
    private readonly ulong[] _bound = new ulong[EventFifo.ChannelCount / 64];
    private readonly byte[] _partial = new byte[sizeof(uint)];
    private readonly Lock _sending = new();
    private int _partialLength;

    public SocketEvtchn(WireConnection connection)
    {
        _connection = connection;
        if (connection.Descriptors.Count != 1)
        {
            connection.Dispose();
            throw new XenException("open Evtchn", null, EIO, "The server sent no descriptor for events");
        }

        Descriptor = connection.Descriptors[0];
        connection.Descriptors.Clear();
        Descriptor.SetNonBlocking(true);
    }

    public FileDescriptor Descriptor { get; }

    public uint BindInterdomain(ushort domid, uint remotePort) => Bind(WireOp.BindInterdomain, domid, remotePort, $"EVTCHN_BIND_INTERDOMAIN port {remotePort}", domid);

    public uint BindUnbound(ushort domid) => Bind(WireOp.BindUnbound, domid, 0, "EVTCHN_BIND_UNBOUND_PORT", domid);

    public uint BindVirq(Virq virq) => Bind(WireOp.BindVirq, (uint)virq, 0, $"EVTCHN_BIND_VIRQ {virq}", null);

    public void Unbind(uint port)
    {
        lock (_bound)
        {
            XenException.Check(_connection.Request(WireOp.Unbind, (ulong)port), $"EVTCHN_UNBIND port {port}");
            Mark(port, bound: false);
        }
    }

    public int Notify(uint port)
    {
        if (!IsBound(port)) return -ENOTCONN;
        var message = new Wire.Event { Command = Wire.EventNotify, Port = port };
        return Send(new ReadOnlySpan<Wire.Event>(in message));
    }

    public int ReadPorts(Span<uint> ports)
    {
        lock (_partial)
        {
            Span<byte> bytes = MemoryMarshal.AsBytes(ports);
            if (bytes.IsEmpty) return 0;
            _partial.AsSpan(0, _partialLength).CopyTo(bytes);
            nint count = Receive(bytes[_partialLength..]);
            if (count < 0) return count == -EAGAIN ? 0 : (int)count;
            if (count == 0) return -EIO;
            int total = _partialLength + (int)count;
            _partialLength = total % sizeof(uint);
            bytes.Slice(total - _partialLength, _partialLength).CopyTo(_partial);
            return Filter(ports[..(total / sizeof(uint))]);
        }
    }

    public int Unmask(ReadOnlySpan<uint> ports)
    {
        Span<Wire.Event> messages = stackalloc Wire.Event[EventsPerSend];
        while (!ports.IsEmpty)
        {
            int count = Math.Min(ports.Length, EventsPerSend);
            for (int i = 0; i < count; i++) messages[i] = new Wire.Event { Command = Wire.EventUnmask, Port = ports[i] };
            int result = Send(messages[..count]);
            if (result < 0) return result;
            ports = ports[count..];
        }

        return 0;
    }

    public void Restrict(ushort domid) => XenException.Check(_connection.Request(WireOp.Restrict, (uint)domid), "EVTCHN_RESTRICT_DOMID", domid);

    public void Dispose()
    {
        _connection.Dispose();
        Descriptor.Dispose();
    }

    private uint Bind(WireOp op, uint first, uint second, string call, ushort? domid)
    {
        lock (_bound)
        {
            int port = XenException.Check(_connection.Request(op, (ulong)second << 32 | first), call, domid);
            if (port is 0 or >= EventFifo.ChannelCount) throw new XenException(call, domid, EIO);
            Mark((uint)port, bound: true);
            return (uint)port;
        }
    }

    // An event of a port that was closed meanwhile may still be under way.
    private int Filter(Span<uint> ports)
    {
        int kept = 0;
        foreach (uint port in ports)
        {
            if (IsBound(port)) ports[kept++] = port;
        }

        return kept;
    }

    private bool IsBound(uint port) => port < EventFifo.ChannelCount && (Volatile.Read(ref _bound[port / 64]) >> (int)(port % 64) & 1) != 0;

    private void Mark(uint port, bool bound)
    {
        ref ulong word = ref _bound[port / 64];
        ulong bit = 1UL << (int)(port % 64);
        Volatile.Write(ref word, bound ? word | bit : word & ~bit);
    }

    private nint Receive(Span<byte> bytes)
    {
        using FileDescriptor.Borrowed fd = Descriptor.Borrow();
        fixed (byte* to = bytes) return FileIO.Read(fd.Value, to, (nuint)bytes.Length);
    }

    // Under a lock, so that the events of two threads do not mix.
    private int Send(ReadOnlySpan<Wire.Event> messages)
    {
        using FileDescriptor.Borrowed fd = Descriptor.Borrow();
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(messages);
        lock (_sending)
        {
            while (!bytes.IsEmpty)
            {
                nint sent;
                fixed (byte* from = bytes) sent = send(fd.Value, from, (nuint)bytes.Length, MSG_NOSIGNAL);
                if (sent >= 0)
                {
                    bytes = bytes[(int)sent..];
                    continue;
                }

                int error = errno;
                if (error == EINTR) continue;
                if (error != EAGAIN) return -EIO;
                var wait = new pollfd { fd = fd.Value, events = POLLOUT };
                FileIO.Poll(new Span<pollfd>(ref wait), -1);
            }
        }

        return 0;
    }
}
