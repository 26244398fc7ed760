using System.Net.Sockets;
using System.Text;

namespace VhostUser.Hosting;

/// <summary>sd_notify(3): one datagram to the socket that systemd names in NOTIFY_SOCKET.</summary>
public static class SystemdNotify
{
    /// <param name="state">Assignments, such as READY=1.</param>
    public static void Send(string state)
    {
        string? path = Environment.GetEnvironmentVariable("NOTIFY_SOCKET");
        if (string.IsNullOrEmpty(path))
            return;

        // A leading @ stands for the abstract namespace.
        if (path[0] == '@')
            path = '\0' + path[1..];

        try
        {
            using Socket socket = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
            socket.SendTo(Encoding.UTF8.GetBytes(state), new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException)
        {
            // The service manager has gone: nobody is left to tell.
        }
    }
}
