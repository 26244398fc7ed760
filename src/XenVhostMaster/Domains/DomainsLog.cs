using Microsoft.Extensions.Logging;

namespace XenVhostMaster.Domains;

internal static partial class DomainsLog
{
    [LoggerMessage(Level = LogLevel.Error, Message = "the guest's I/O thread: a handler failed")]
    public static partial void HandlerFailed(this ILogger logger, Exception cause);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Guest}: attached, ioreq server {Server}, {Vcpus} virtual CPUs, {Memory} MiB in {Banks} banks, {Kind}")]
    public static partial void Attached(this ILogger logger, string guest, int server, int vcpus, ulong memory, int banks, string kind);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Guest}: device {Device} at {Place}")]
    public static partial void DeviceAdded(this ILogger logger, string guest, string device, string place);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Guest}: device {Device} removed")]
    public static partial void DeviceRemoved(this ILogger logger, string guest, string device);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Guest}: ioreq server {Server}, left by a dead process, destroyed")]
    public static partial void LeftoverDestroyed(this ILogger logger, string guest, int server);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Guest}: detached after {Requests} requests ({Ports} ports, {Memory} memory, {Config} PCI configuration, {Invalidate} invalidate), {Kicks} kicks, {Interrupts} interrupts")]
    public static partial void Detached(this ILogger logger, string guest, long requests, long ports, long memory, long config, long invalidate, long kicks, long interrupts);

    [LoggerMessage(Level = LogLevel.Debug, Message = "{Guest}: {Operation} failed: {Cause}")]
    public static partial void OperationFailed(this ILogger logger, string guest, string operation, string cause);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Guest}: privileges are not restricted to it: {Cause}")]
    public static partial void NotRestricted(this ILogger logger, string guest, string cause);
}
