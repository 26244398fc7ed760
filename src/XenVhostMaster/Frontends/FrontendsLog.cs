using Microsoft.Extensions.Logging;

namespace XenVhostMaster.Frontends;

internal static partial class FrontendsLog
{
    [LoggerMessage(Level = LogLevel.Information, Message = "{Device}: connected, {Queues} queues, features 0x{Features:x}")]
    public static partial void Connected(this ILogger logger, string device, int queues, ulong features);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device}: waiting for the back-end: {Cause}")]
    public static partial void Waiting(this ILogger logger, string device, string cause);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device}: the back-end has gone ({Cause}); the guest waits")]
    public static partial void Gone(this ILogger logger, string device, string cause);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Device}: running, {Queues} queues, features 0x{Features:x}")]
    public static partial void Running(this ILogger logger, string device, int queues, ulong features);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Device}: the back-end is back, {Queues} queues go on")]
    public static partial void Recovered(this ILogger logger, string device, int queues);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Device}: cannot go on until the guest resets it: {Cause}")]
    public static partial void Failed(this ILogger logger, string device, string cause);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device}: queue {Queue} is broken, says the back-end")]
    public static partial void RingBroken(this ILogger logger, string device, int queue);

    [LoggerMessage(Level = LogLevel.Debug, Message = "{Device}: reset")]
    public static partial void DeviceReset(this ILogger logger, string device);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device}: {Request} failed: {Cause}")]
    public static partial void RequestFailed(this ILogger logger, string device, string request, string cause);
}
