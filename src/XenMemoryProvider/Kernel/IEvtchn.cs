using VhostXen.Linux;
using XenMemoryProvider.Abi;

namespace XenMemoryProvider.Kernel;

/// <summary>
/// One open of /dev/xen/evtchn: a set of ports and one descriptor to wait on. A port is delivered once and then silent
/// until it is given to <see cref="Unmask(uint)"/>. The order that loses nothing: read it, unmask it, then look at what it is about.
/// </summary>
public interface IEvtchn : IDisposable
{
    /// <summary>Readable while ports are pending. For poll, epoll or io_uring only. Owned by this object.</summary>
    FileDescriptor Descriptor { get; }

    /// <summary>Binds to a port that another domain opened for this one. It is pending from the start.</summary>
    /// <returns>The local port.</returns>
    /// <exception cref="XenException">ESRCH: no such domain; EINVAL: not such a port; EACCES: restricted; ENOSPC.</exception>
    uint BindInterdomain(ushort domid, uint remotePort);

    /// <summary>Opens a port for another domain to bind.</summary>
    /// <returns>The local port.</returns>
    /// <exception cref="XenException">ESRCH; EACCES: restricted; ENOSPC.</exception>
    uint BindUnbound(ushort domid);

    /// <summary>Binds a virtual interrupt on virtual CPU 0.</summary>
    /// <returns>The local port.</returns>
    /// <exception cref="XenException">EEXIST: taken; EACCES: restricted; EINVAL.</exception>
    uint BindVirq(Virq virq);

    /// <summary>Closes a port; the other end becomes unbound.</summary>
    /// <exception cref="XenException">ENOTCONN: not a port of this handle.</exception>
    void Unbind(uint port);

    /// <summary>Signals the other end.</summary>
    /// <returns>0, or -ENOTCONN: not a port of this handle.</returns>
    int Notify(uint port);

    /// <summary>Takes pending ports, never waiting.</summary>
    /// <returns>How many, or a negative errno: -EFBIG after an overflow, when any port may be pending and unmasking all is the cure.</returns>
    int ReadPorts(Span<uint> ports);

    /// <summary>Lets ports be delivered again.</summary>
    /// <returns>0 or a negative errno.</returns>
    int Unmask(ReadOnlySpan<uint> ports);

    /// <inheritdoc cref="Unmask(ReadOnlySpan{uint})"/>
    int Unmask(uint port) => Unmask(new ReadOnlySpan<uint>(in port));

    /// <summary>From now on and for ever: binding to this domain only.</summary>
    /// <exception cref="XenException">EACCES: restricted already; EINVAL: not a real domain.</exception>
    void Restrict(ushort domid);
}
