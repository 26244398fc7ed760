using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Tests.Fakes;

/// <summary>An evtchn that keeps the device's rules: pending once after binding, delivered once until unmasked, notifications counted.</summary>
internal sealed class FakeEvtchn : IEvtchn
{
    private readonly EventFd _readable = EventFd.Create();
    private readonly Lock _lock = new();
    private readonly Dictionary<uint, (uint Remote, bool Masked, bool Pending)> _ports = [];
    private readonly Queue<uint> _queue = new();
    private uint _next = 10;

    public FileDescriptor Descriptor => _readable.Handle;

    public Dictionary<uint, int> Notified { get; } = [];

    public List<string> Log { get; } = [];

    /// <summary>Ports that cannot be bound.</summary>
    public HashSet<uint> BadRemotes { get; } = [];

    public bool Overflow { get; set; }

    public uint BindInterdomain(ushort domid, uint remotePort)
    {
        if (remotePort == 0 || BadRemotes.Contains(remotePort)) throw new XenException($"EVTCHN_BIND_INTERDOMAIN port {remotePort}", domid, EINVAL);
        uint port = Add(remotePort);
        Raise(port);
        return port;
    }

    public uint BindUnbound(ushort domid) => Add(0);

    public uint BindVirq(Virq virq) => Add(0);

    public void Unbind(uint port)
    {
        lock (_lock)
        {
            if (!_ports.Remove(port)) throw new XenException("EVTCHN_UNBIND", null, ENOTCONN);
            Log.Add($"unbind {port}");
        }
    }

    public int Notify(uint port)
    {
        lock (_lock)
        {
            if (!_ports.ContainsKey(port)) return -ENOTCONN;
            Notified[port] = Notified.GetValueOrDefault(port) + 1;
            return 0;
        }
    }

    public int ReadPorts(Span<uint> ports)
    {
        lock (_lock)
        {
            if (Overflow)
            {
                Overflow = false;
                _queue.Clear();
                return -EFBIG;
            }
            int count = 0;
            while (count < ports.Length && _queue.TryDequeue(out uint port)) ports[count++] = port;
            if (_queue.Count == 0) _readable.Drain();
            for (int i = 0; i < count; i++) Log.Add($"read {ports[i]}");
            return count;
        }
    }

    public int Unmask(ReadOnlySpan<uint> ports)
    {
        lock (_lock)
        {
            foreach (uint port in ports)
            {
                Log.Add($"unmask {port}");
                if (!_ports.TryGetValue(port, out var state)) continue;
                _ports[port] = state with { Masked = false, Pending = false };
                if (state.Pending) RaiseLocked(port);
            }
            return 0;
        }
    }

    public void Restrict(ushort domid) => Log.Add($"restrict {domid}");

    public void Dispose() => _readable.Dispose();

    /// <summary>The other end notifies.</summary>
    public void Raise(uint port)
    {
        lock (_lock) RaiseLocked(port);
    }

    public uint PortOf(uint remote)
    {
        lock (_lock) return _ports.First(entry => entry.Value.Remote == remote).Key;
    }

    public int Bound
    {
        get
        {
            lock (_lock) return _ports.Count;
        }
    }

    private uint Add(uint remote)
    {
        lock (_lock)
        {
            _ports.Add(++_next, (remote, false, false));
            return _next;
        }
    }

    private void RaiseLocked(uint port)
    {
        var state = _ports[port];
        if (state.Masked)
        {
            _ports[port] = state with { Pending = true };
            return;
        }
        _ports[port] = state with { Masked = true };
        _queue.Enqueue(port);
        _readable.Signal();
    }
}
