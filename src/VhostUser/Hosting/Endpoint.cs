using System.Net.Sockets;
using static VhostXen.Linux.LibC;

namespace VhostUser.Hosting;

/// <summary>
/// A socket to serve: listening, or connected already. The specification and QEMU's programs disagree on what
/// --fd is, so the socket itself is asked (SO_ACCEPTCONN).
/// </summary>
internal sealed class Endpoint : IDisposable
{
    private readonly string? _path;

    private Endpoint(Socket socket, bool listening, string name, string? path)
    {
        Socket = socket;
        IsListening = listening;
        Name = name;
        _path = path;
    }

    public Socket Socket { get; }

    public bool IsListening { get; }

    public string Name { get; }

    /// <exception cref="HostingException">The socket cannot be had; the message says why.</exception>
    public static Endpoint Open(DeviceHostOptions options)
    {
        int given = (options.SocketPath is null ? 0 : 1) + (options.Fd is null ? 0 : 1) + (options.SystemdName is null ? 0 : 1);
        if (given != 1)
            throw new HostingException($"{options.Name}: give exactly one of a socket path, a descriptor and a socket from the service manager");

        if (options.SocketPath is { } path)
            return Listen(path);

        return Inherit(options.Fd ?? SocketActivation.Find(options.SystemdName!));
    }

    public void Dispose()
    {
        Socket.Dispose();
        if (_path is not null)
            File.Delete(_path);
    }

    private static Endpoint Listen(string path)
    {
        UnixDomainSocketEndPoint address;
        try
        {
            address = new UnixDomainSocketEndPoint(path);
        }
        catch (ArgumentException)
        {
            throw new HostingException($"socket path '{path}' is empty or longer than a Unix socket address holds (107 bytes)");
        }

        RemoveStale(path, address);
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Bind(address);
            socket.Listen(16);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new HostingException($"cannot listen on '{path}': {e.Message}");
        }

        return new Endpoint(socket, listening: true, path, path);
    }

    /// <summary>A socket file that nobody listens on is left over from a daemon that was killed: it goes.</summary>
    private static void RemoveStale(string path, UnixDomainSocketEndPoint address)
    {
        if (!File.Exists(path))
            return;

        if (!IsSocket(path))
            throw new HostingException($"'{path}' exists and is not a socket");

        using Socket probe = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(address);
        }
        catch (SocketException)
        {
            File.Delete(path);
            return;
        }

        throw new HostingException($"'{path}' is in use by another process");
    }

    private static bool IsSocket(string path)
    {
        // Opening a socket file answers ENXIO, and nothing else does but a device without a driver.
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
        if (fd >= 0)
        {
            close(fd);
            return false;
        }

        return errno == ENXIO;
    }

    private static unsafe Endpoint Inherit(int fd)
    {
        int listening = 0;
        uint length = sizeof(int);
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0)
        {
            int error = errno;
            throw new HostingException(error == EBADF ? $"descriptor {fd} is not open" : $"descriptor {fd} is not a socket");
        }

        int domain = 0;
        length = sizeof(int);
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0 || domain != AF_UNIX)
            throw new HostingException($"descriptor {fd} is not a Unix socket: vhost-user passes file descriptors");

        _ = fcntl(fd, F_SETFD, FD_CLOEXEC);
        Socket socket = new(new SafeSocketHandle(fd, ownsHandle: true));
        return new Endpoint(socket, listening != 0, $"descriptor {fd}", path: null);
    }
}
