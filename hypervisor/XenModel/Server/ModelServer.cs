using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using VhostXen.Linux;
using XenMemoryProvider.Kernel.Sockets;
using XenModel.Domains;
using XenModel.Store;
using static VhostXen.Linux.LibC;

namespace XenModel.Server;

/// <summary>A hypervisor behind a Unix socket, for processes that use <see cref="SocketXenKernel"/>. A thread per connection.</summary>
public sealed class ModelServer : IDisposable
{
    private readonly Hypervisor _hypervisor;
    private readonly XenStoreDaemon? _store;
    private readonly ILogger _logger;
    private readonly SharedObjects _objects = new();
    private readonly ControlCommands _commands;
    private readonly string _path;
    private readonly FileDescriptor _listener;
    private readonly EventFd _stop = EventFd.Create();
    private readonly Lock _gate = new();
    private readonly Dictionary<WireChannel, Thread> _connections = [];
    private readonly Thread _thread;
    private bool _stopping;

    /// <param name="path">Where to listen; must not exist.</param>
    /// <param name="store">Answers those who open xenstore; null: nobody does.</param>
    /// <exception cref="SystemCallException">EADDRINUSE and the like.</exception>
    public ModelServer(Hypervisor hypervisor, string path, XenStoreDaemon? store = null, ILogger? logger = null)
    {
        _hypervisor = hypervisor;
        _store = store;
        _logger = logger ?? NullLogger.Instance;
        _commands = new ControlCommands(hypervisor);
        _path = path;
        _listener = FdSocket.Listen(path, backlog: 64, SOCK_NONBLOCK);
        _thread = new Thread(Listen) { IsBackground = true, Name = "listen" };
        _thread.Start();
        _logger.Serving(path);
    }

    /// <summary>Connections open at the moment.</summary>
    public int ConnectionCount
    {
        get
        {
            lock (_gate) return _connections.Count;
        }
    }

    /// <summary>Ends every connection and removes the socket.</summary>
    public void Dispose()
    {
        Thread[] threads;
        lock (_gate)
        {
            if (_stopping) return;
            _stopping = true;
            threads = [.. _connections.Values];
            foreach (WireChannel channel in _connections.Keys) channel.Shutdown();
        }

        _stop.Signal();
        _thread.Join();
        foreach (Thread thread in threads) thread.Join();
        _listener.Dispose();
        _stop.Dispose();
        File.Delete(_path);
    }

    private void Listen()
    {
        using var epoll = new Epoll();
        epoll.Add(_listener, EPOLLIN, 0);
        epoll.Add(_stop.Handle, EPOLLIN, 1);
        var ready = new epoll_event[2];
        while (true)
        {
            int count = epoll.Wait(ready, -1);
            for (int i = 0; i < count; i++)
            {
                if (ready[i].data == 1) return;
                Accept();
            }
        }
    }

    private void Accept()
    {
        FileDescriptor? socket;
        try
        {
            socket = FdSocket.Accept(_listener);
        }
        catch (SystemCallException)
        {
            // Out of descriptors: those who connected wait in the backlog until others go.
            Thread.Sleep(10);
            return;
        }

        if (socket is null) return;
        var channel = new WireChannel(socket);
        lock (_gate)
        {
            if (_stopping)
            {
                channel.Dispose();
                return;
            }

            var thread = new Thread(() => Serve(channel)) { IsBackground = true, Name = "connection" };
            _connections.Add(channel, thread);
            thread.Start();
        }
    }

    private void Serve(WireChannel channel)
    {
        try
        {
            using WireSession? session = Open(channel);
            session?.Run();
        }
        catch (Exception failure)
        {
            // A client must not be able to end the server; that it could get here is our mistake.
            _logger.Failed(failure);
        }
        finally
        {
            lock (_gate) _connections.Remove(channel);
            channel.Dispose();
        }
    }

    // The first request says what the connection is.
    private WireSession? Open(WireChannel channel)
    {
        Span<byte> body = stackalloc byte[2 * sizeof(uint)];
        if (!channel.ReceiveHeader(out Wire.Header header, 0) || header.OpOrResult != (int)WireOp.Open || header.Length != (uint)body.Length) return null;
        if (!channel.ReceiveBody(body)) return null;
        var device = (WireDevice)MemoryMarshal.Read<uint>(body);
        uint domid = MemoryMarshal.Read<uint>(body[sizeof(uint)..]);
        Domain? caller = domid <= ushort.MaxValue ? _hypervisor.Find((ushort)domid) : null;
        if (caller is null)
        {
            channel.Send(-ESRCH, default);
            return null;
        }

        _logger.Opened(device.ToString(), caller.Id);
        if (device == WireDevice.Xenstore)
        {
            OpenXenstore(channel, caller.Id);
            return null;
        }

        if (device == WireDevice.Evtchn)
        {
            var events = new EvtchnSession(_hypervisor, caller, channel, _objects);
            if (events.ReplyOpen()) return events;
            events.Dispose();
            return null;
        }

        WireSession? session = device switch
        {
            WireDevice.Privcmd => new PrivcmdSession(_hypervisor, caller, channel, _objects),
            WireDevice.Gntdev => new GntdevSession(_hypervisor, caller, channel, _objects),
            WireDevice.Gntalloc => new GntallocSession(_hypervisor, caller, channel, _objects),
            WireDevice.Control => new ControlSession(_commands, channel, _objects),
            _ => null,
        };
        channel.Send(session is null ? -ENODEV : 0, default);
        return session;
    }

    private void OpenXenstore(WireChannel channel, ushort domid)
    {
        if (_store is null)
        {
            channel.Send(-ECONNREFUSED, default);
            return;
        }

        if (!channel.Send(0, default)) return;
        FileDescriptor duplicate = channel.Socket.Duplicate();
        var handle = new SafeSocketHandle(duplicate.Value, ownsHandle: true);
        duplicate.SetHandleAsInvalid();
        _store.Serve(new NetworkStream(new Socket(handle), ownsSocket: true), domid, privileged: domid == 0);
    }
}
