using Microsoft.Extensions.Logging;

namespace Backends.Block.Device;

internal static partial class BlockLog
{
    [LoggerMessage(Level = LogLevel.Information, Message = "{Device}: {Source}, {Length} bytes in blocks of {BlockSize}, {Mode}")]
    public static partial void Opened(this ILogger logger, string device, string source, ulong length, uint blockSize, string mode);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Device} queue {Queue}: {Operation} of {Length} bytes at {Offset} failed on the host: {Error}; {Others} more failures since the last such line")]
    public static partial void HostFailed(this ILogger logger, string device, int queue, string operation, ulong length, ulong offset, string error, long others);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Device}: the disk is now {Length} bytes")]
    public static partial void Resized(this ILogger logger, string device, ulong length);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device}: the last {Bytes} bytes are no whole sector and are left out")]
    public static partial void OddLength(this ILogger logger, string device, ulong bytes);
}
