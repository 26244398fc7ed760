using System.ComponentModel.DataAnnotations;
using VhostUser.Session;

namespace VhostUser.Hosting;

/// <summary>Where one device is served, and with what.</summary>
public sealed class DeviceHostOptions
{
    /// <summary>What log lines and metrics call the device.</summary>
    [Required]
    public string Name { get; set; } = "";

    /// <summary>Unix socket to listen on. Exactly one of this, <see cref="Fd"/> and <see cref="SystemdName"/> is set.</summary>
    public string? SocketPath { get; set; }

    /// <summary>An inherited socket: listening (serves one front-end after the other) or connected (serves it and ends).</summary>
    public int? Fd { get; set; }

    /// <summary>The FileDescriptorName= of a socket that systemd passes (LISTEN_FDS); the empty string is the first one.</summary>
    public string? SystemdName { get; set; }

    /// <summary>Worker threads; queue i belongs to worker i modulo their number.</summary>
    [Range(1, 256)]
    public int Workers { get; set; } = 1;

    /// <summary>Microseconds to look at the rings after the last request before sleeping; 0 sleeps at once.</summary>
    [Range(0, 1_000_000)]
    public int PollMicroseconds { get; set; }

    /// <summary>False to do without io_uring.</summary>
    public bool UseIoUring { get; set; } = true;

    /// <summary>What is offered to front-ends.</summary>
    public SessionOptions Session { get; set; } = new();
}
