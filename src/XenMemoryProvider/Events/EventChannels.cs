using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Events;

/// <summary>
/// The event channels of one guest, in the order that loses no event: <see cref="Take"/> reads the pending ports, lets
/// them be delivered again, and only then hands them to the caller, who looks at what they are about. One thread takes;
/// any thread may notify. A port that was just bound is pending once for no reason.
/// </summary>
public sealed class EventChannels : IDisposable
{
    private readonly IEvtchn _evtchn;
    private readonly Lock _lock = new();
    private uint[] _bound = [];
    private int _resumeAt = int.MaxValue;

    /// <param name="evtchn">Becomes this object's.</param>
    public EventChannels(IEvtchn evtchn) => _evtchn = evtchn;

    /// <summary>Readable while ports are pending.</summary>
    public FileDescriptor Descriptor => _evtchn.Descriptor;

    /// <summary>How often the kernel had more pending ports than it could remember: each time, all ports were looked at.</summary>
    public long Overflows { get; private set; }

    /// <inheritdoc cref="IEvtchn.BindInterdomain"/>
    public uint BindInterdomain(ushort domid, uint remotePort) => Remember(_evtchn.BindInterdomain(domid, remotePort));

    /// <inheritdoc cref="IEvtchn.BindUnbound"/>
    public uint BindUnbound(ushort domid) => Remember(_evtchn.BindUnbound(domid));

    /// <inheritdoc cref="IEvtchn.BindVirq"/>
    public uint BindVirq(Virq virq) => Remember(_evtchn.BindVirq(virq));

    /// <inheritdoc cref="IEvtchn.Unbind"/>
    public void Unbind(uint port)
    {
        lock (_lock) _bound = Array.FindAll(_bound, bound => bound != port);
        _evtchn.Unbind(port);
    }

    /// <inheritdoc cref="IEvtchn.Notify"/>
    public int Notify(uint port) => _evtchn.Notify(port);

    /// <inheritdoc cref="IEvtchn.Restrict"/>
    public void Restrict(ushort domid) => _evtchn.Restrict(domid);

    /// <summary>Lets an epoll wait for these ports too: level-triggered, with the caller's word.</summary>
    public void AddTo(Epoll epoll, ulong data) => epoll.Add(Descriptor, EPOLLIN, data);

    /// <summary>
    /// Takes pending ports, never waiting. Call it until it returns 0. Each port is unmasked already: what comes from now
    /// on makes it pending again.
    /// </summary>
    /// <returns>How many ports were written.</returns>
    /// <exception cref="XenException">The device failed: a mistake of this process.</exception>
    public int Take(Span<uint> ports)
    {
        ArgumentOutOfRangeException.ThrowIfZero(ports.Length);
        if (_resumeAt != int.MaxValue) return TakeBound(ports);

        int count = _evtchn.ReadPorts(ports);
        if (count == -EFBIG)
        {
            // Which ports were pending is lost: unmask every one, and have the caller look at every one.
            Overflows++;
            _resumeAt = 0;
            Check(_evtchn.Unmask(Volatile.Read(ref _bound)));
            return TakeBound(ports);
        }

        Check(count);
        if (count > 0) Check(_evtchn.Unmask(ports[..count]));
        return count;
    }

    public void Dispose() => _evtchn.Dispose();

    private int TakeBound(Span<uint> ports)
    {
        uint[] bound = Volatile.Read(ref _bound);
        ReadOnlySpan<uint> left = bound.AsSpan(Math.Min(_resumeAt, bound.Length));
        int count = Math.Min(left.Length, ports.Length);
        left[..count].CopyTo(ports);
        _resumeAt = count == left.Length ? int.MaxValue : _resumeAt + count;
        return count;
    }

    private uint Remember(uint port)
    {
        lock (_lock) _bound = [.. _bound, port];
        return port;
    }

    private static void Check(int result)
    {
        if (result < 0) throw new XenException("/dev/xen/evtchn", null, -result);
    }
}
