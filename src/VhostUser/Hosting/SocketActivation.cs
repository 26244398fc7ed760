using System.Globalization;

namespace VhostUser.Hosting;

/// <summary>sd_listen_fds(3): sockets that the service manager opened for this process, from descriptor 3 on.</summary>
public static class SocketActivation
{
    private const int FirstFd = 3;

    /// <summary>The descriptor with a name, or the first one for the empty name.</summary>
    /// <exception cref="HostingException">None was passed, or none has that name.</exception>
    internal static int Find(string name)
    {
        if (!int.TryParse(Environment.GetEnvironmentVariable("LISTEN_PID"), NumberStyles.None, CultureInfo.InvariantCulture, out int pid)
            || pid != Environment.ProcessId
            || !int.TryParse(Environment.GetEnvironmentVariable("LISTEN_FDS"), NumberStyles.None, CultureInfo.InvariantCulture, out int count)
            || count < 1)
        {
            throw new HostingException("no socket was passed by the service manager (LISTEN_PID and LISTEN_FDS do not name this process)");
        }

        if (name.Length == 0)
            return FirstFd;

        string[] names = (Environment.GetEnvironmentVariable("LISTEN_FDNAMES") ?? "").Split(':');
        int index = Array.IndexOf(names, name);
        if (index < 0 || index >= count)
            throw new HostingException($"the service manager passed no socket named '{name}' (it passed: {string.Join(", ", names)})");

        return FirstFd + index;
    }

    /// <summary>True when the service manager passed anything to this process.</summary>
    public static bool IsActive
        => Environment.GetEnvironmentVariable("LISTEN_PID") == Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
}
