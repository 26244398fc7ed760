using Microsoft.Extensions.Logging;
using XenVhostMaster.Domains;

namespace XenVhostMaster.Hosting;

/// <summary>What a run of the program is to do.</summary>
internal sealed record MasterOptions
{
    public const string DefaultControl = "/run/xen-vhost-master/control";

    public IReadOnlyList<GuestOptions> Guests { get; init; } = [];

    /// <summary>Also serve what xl describes in xenstore: the folder of the sockets of devices that do not name theirs. Null: do not.</summary>
    public string? StoreSockets { get; init; }

    /// <summary>How to reach Xen.</summary>
    public string Xen { get; init; } = XenMemoryProvider.Kernel.XenKernels.Devices;

    /// <summary>Unix socket for commands; null for none.</summary>
    public string? Control { get; init; }

    public LogLevel LogLevel { get; init; } = LogLevel.Information;

    /// <summary>The command of "run": xl and its arguments. Empty to follow guests that others make.</summary>
    public IReadOnlyList<string> Command { get; init; } = [];

    /// <summary>A command for a master that runs, to be sent to <see cref="Control"/>; empty to be one.</summary>
    public IReadOnlyList<string> ControlCommand { get; init; } = [];
}
