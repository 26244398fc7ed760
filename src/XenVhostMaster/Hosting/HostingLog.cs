using Microsoft.Extensions.Logging;

namespace XenVhostMaster.Hosting;

internal static partial class HostingLog
{
    [LoggerMessage(Level = LogLevel.Information, Message = "waiting for domain {Domain}")]
    public static partial void WaitingForDomain(this ILogger logger, string domain);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Guest}: gone")]
    public static partial void GuestGone(this ILogger logger, string guest);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Guest}: cannot be attached to: {Cause}")]
    public static partial void AttachFailed(this ILogger logger, string guest, string cause);

    [LoggerMessage(Level = LogLevel.Warning, Message = "control socket: {Cause}")]
    public static partial void ControlFailed(this ILogger logger, string cause);
}
