using Microsoft.Extensions.Logging;

namespace VhostUser.Devices;

internal static partial class DevicesLog
{
    [LoggerMessage(Level = LogLevel.Error, Message = "{Device} queue {Queue}: broken by the driver: {Cause}; it stays stopped until the device is reset")]
    public static partial void QueueBroken(this ILogger logger, string device, int queue, string cause);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Device} worker {Worker}: the handler of queue {Queue} failed; the queue is stopped")]
    public static partial void HandlerFailed(this ILogger logger, string device, string worker, int queue, Exception exception);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Worker}: a command failed")]
    public static partial void CommandFailed(this ILogger logger, string worker, Exception exception);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Worker}: io_uring is refused by this kernel; using preadv and pwritev")]
    public static partial void NoIoUring(this ILogger logger, string worker);

    [LoggerMessage(Level = LogLevel.Debug, Message = "{Device} queue {Queue}: started, {Form} ring of {Size} at base {Base}")]
    public static partial void QueueStarted(this ILogger logger, string device, int queue, string form, int size, uint @base);

    [LoggerMessage(Level = LogLevel.Debug, Message = "{Device} queue {Queue}: stopped at base {Base}")]
    public static partial void QueueStopped(this ILogger logger, string device, int queue, uint @base);
}
