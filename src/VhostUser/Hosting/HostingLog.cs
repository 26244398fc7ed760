using Microsoft.Extensions.Logging;

namespace VhostUser.Hosting;

internal static partial class HostingLog
{
    [LoggerMessage(Level = LogLevel.Information, Message = "{Device}: listening on {Endpoint}")]
    public static partial void Listening(this ILogger logger, string device, string endpoint);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device}: a connection could not be served: {Error}")]
    public static partial void ConnectionNotServed(this ILogger logger, string device, string error);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device}: {Count} connections refused while the device hangs")]
    public static partial void RefusedWhileHung(this ILogger logger, string device, long count);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device}: accept failed ({Error}); trying again in {Seconds} s")]
    public static partial void AcceptFailed(this ILogger logger, string device, string error, int seconds);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device}: {Count} requests still in flight at the end of the shutdown time")]
    public static partial void StillInFlight(this ILogger logger, string device, int count);
}
