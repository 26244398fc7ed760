using System.Runtime.InteropServices;
using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel.Sockets;
using XenModel.Domains;
using XenModel.Drivers;
using static VhostXen.Linux.LibC;

namespace XenModel.Server;

/// <summary>
/// evtchn for a client: binding on the connection, events on a socket pair with a thread of its own. Whoever raises an event
/// writes it straight into the client's end; what does not fit waits here until the client reads.
/// </summary>
internal sealed unsafe class EvtchnSession : WireSession
{
    private const int EventsAtOnce = 256;

    private readonly EvtchnDevice _device;
    private readonly FileDescriptor _events;
    private readonly FileDescriptor _theirs;
    private readonly EventFd _stop = EventFd.Create();
    private readonly Epoll _epoll = new();
    private readonly Queue<byte> _backlog = new();
    private readonly Thread _thread;

    public EvtchnSession(Hypervisor hypervisor, Domain caller, WireChannel channel, SharedObjects objects)
        : base(channel, objects)
    {
        _device = new EvtchnDevice(hypervisor, caller, Deliver);
        (_events, _theirs) = FdSocket.Pair();
        _events.SetNonBlocking(true);
        _epoll.Add(_events, EPOLLIN, 0);
        _epoll.Add(_stop.Handle, EPOLLIN, 1);
        _thread = new Thread(Serve) { IsBackground = true, Name = "evtchn" };
        _thread.Start();
    }

    /// <summary>Answers the Open with the client's end.</summary>
    public bool ReplyOpen()
    {
        Span<int> fds = [_theirs.Value];
        bool sent = Channel.Send(0, default, fds);
        _theirs.Dispose();
        return sent;
    }

    public override void Dispose()
    {
        _device.Close();
        _stop.Signal();
        _thread.Join();
        _epoll.Dispose();
        _events.Dispose();
        _theirs.Dispose();
        _stop.Dispose();
        base.Dispose();
    }

    protected override bool Handle(WireOp op, Span<byte> body)
    {
        var reader = new BodyReader(body);
        uint first = reader.Take<uint>();
        uint second = op == WireOp.Restrict ? 0 : reader.Take<uint>();
        if (!reader.Complete) return false;
        bool domid = op is WireOp.BindInterdomain or WireOp.BindUnbound or WireOp.Restrict;
        if (domid && first > ushort.MaxValue) return false;
        return op switch
        {
            WireOp.BindInterdomain => Reply(_device.BindInterdomain((ushort)first, second)),
            WireOp.BindUnbound => Reply(_device.BindUnbound((ushort)first)),
            WireOp.BindVirq => Reply(_device.BindVirq((Virq)first)),
            WireOp.Unbind => Reply(_device.Unbind(first)),
            WireOp.Restrict => Reply(_device.Restrict((ushort)first)),
            _ => false,
        };
    }

    // With the gate held: never waits.
    private void Deliver(uint port)
    {
        lock (_backlog)
        {
            ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(new ReadOnlySpan<uint>(in port));
            int sent = _backlog.Count == 0 ? Send(bytes) : 0;
            if (sent == bytes.Length) return;
            foreach (byte b in bytes[sent..]) _backlog.Enqueue(b);
            _epoll.Modify(_events, EPOLLIN | EPOLLOUT, 0);
        }
    }

    private void Flush()
    {
        Span<byte> bytes = stackalloc byte[1024];
        while (_backlog.Count > 0)
        {
            int count = 0;
            foreach (byte b in _backlog)
            {
                if (count == bytes.Length) break;
                bytes[count++] = b;
            }

            int sent = Send(bytes[..count]);
            if (sent == 0) return;
            for (int i = 0; i < sent; i++) _backlog.Dequeue();
        }

        _epoll.Modify(_events, EPOLLIN, 0);
    }

    // How much the client's socket took; nothing when it is full or gone.
    private int Send(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* from = bytes) return (int)Math.Max(0, send(_events.Value, from, (nuint)bytes.Length, MSG_DONTWAIT | MSG_NOSIGNAL));
    }

    private void Serve()
    {
        var ready = new epoll_event[2];
        Span<Wire.Event> messages = new Wire.Event[EventsAtOnce];
        int partial = 0;
        while (true)
        {
            int count = _epoll.Wait(ready, -1);
            for (int i = 0; i < count; i++)
            {
                if (ready[i].data == 1) return;
                if ((ready[i].events & EPOLLOUT) != 0)
                {
                    lock (_backlog) Flush();
                }

                if ((ready[i].events & ~(uint)EPOLLOUT) != 0 && !Take(messages, ref partial))
                {
                    Channel.Shutdown();
                    return;
                }
            }
        }
    }

    // What the client unmasks and signals. False: it closed its end.
    private bool Take(Span<Wire.Event> messages, ref int partial)
    {
        Span<byte> bytes = MemoryMarshal.AsBytes(messages);
        nint received;
        fixed (byte* to = bytes[partial..]) received = FileIO.Read(_events.Value, to, (nuint)(bytes.Length - partial));
        if (received == -EAGAIN) return true;
        if (received <= 0) return false;
        int total = partial + (int)received;
        int whole = total / sizeof(Wire.Event);
        foreach (Wire.Event message in messages[..whole])
        {
            if (message.Command == Wire.EventUnmask) _device.Unmask(message.Port);
            else if (message.Command == Wire.EventNotify) _device.Notify(message.Port);
            else return false;
        }

        partial = total - whole * sizeof(Wire.Event);
        bytes.Slice(whole * sizeof(Wire.Event), partial).CopyTo(bytes);
        return true;
    }
}
