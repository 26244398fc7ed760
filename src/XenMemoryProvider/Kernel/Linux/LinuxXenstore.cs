using System.Net.Sockets;
using VhostXen.Linux;
using XenMemoryProvider.Abi;

namespace XenMemoryProvider.Kernel.Linux;

/// <summary>Finds xenstore as Xen's own tools do: the daemon's socket first, then the kernel's device.</summary>
internal static class LinuxXenstore
{
    private const string OldDevicePath = "/proc/xen/xenbus";

    /// <exception cref="XenException">Neither is there.</exception>
    internal static Stream Open()
    {
        string? path = Environment.GetEnvironmentVariable("XENSTORED_PATH");
        if (!string.IsNullOrEmpty(path)) return Connect(path);

        string? directory = Environment.GetEnvironmentVariable("XENSTORED_RUNDIR");
        path = string.IsNullOrEmpty(directory) ? Xenstore.SocketPath : Path.Combine(directory, "socket");
        try
        {
            return Connect(path);
        }
        catch (XenException) when (File.Exists(Xenstore.DevicePath) || File.Exists(OldDevicePath))
        {
            return new XenbusStream(XenDevice.Open("xenfs", LibC.O_RDWR | LibC.O_NONBLOCK, Xenstore.DevicePath, OldDevicePath));
        }
    }

    private static NetworkStream Connect(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(path));
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            int error = e.SocketErrorCode switch
            {
                SocketError.ConnectionRefused => LibC.ECONNREFUSED,
                SocketError.AccessDenied => LibC.EACCES,
                _ => File.Exists(path) ? LibC.EIO : LibC.ENOENT,
            };
            throw new XenException($"connect {path}", null, error, "Is xenstored running?");
        }
    }
}
