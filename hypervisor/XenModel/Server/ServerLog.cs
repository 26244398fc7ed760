using Microsoft.Extensions.Logging;

namespace XenModel.Server;

internal static partial class ServerLog
{
    [LoggerMessage(1, LogLevel.Information, "serving {Path}")]
    public static partial void Serving(this ILogger logger, string path);

    [LoggerMessage(2, LogLevel.Information, "domain {Id} '{Name}': {Type}, {Memory} MiB, {Vcpus} vcpus")]
    public static partial void Created(this ILogger logger, ushort id, string name, string type, int memory, int vcpus);

    [LoggerMessage(3, LogLevel.Information, "domain {Id} '{Name}' {State}")]
    public static partial void Changed(this ILogger logger, ushort id, string name, string state);

    [LoggerMessage(4, LogLevel.Debug, "connection for {Device} of domain {Id}")]
    public static partial void Opened(this ILogger logger, string device, ushort id);

    [LoggerMessage(5, LogLevel.Error, "connection ended by a mistake of this server")]
    public static partial void Failed(this ILogger logger, Exception failure);

    [LoggerMessage(6, LogLevel.Information, "stopped")]
    public static partial void Stopped(this ILogger logger);
}
