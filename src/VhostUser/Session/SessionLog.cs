using Microsoft.Extensions.Logging;

namespace VhostUser.Session;

internal static partial class SessionLog
{
    [LoggerMessage(Level = LogLevel.Information, Message = "{Device}: front-end connected")]
    public static partial void Connected(this ILogger logger, string device);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Device}: front-end disconnected")]
    public static partial void Disconnected(this ILogger logger, string device);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Device}: session ended, the front-end broke the protocol: {Cause}")]
    public static partial void ProtocolBroken(this ILogger logger, string device, string cause);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device}: {Request} refused: {Cause}")]
    public static partial void Refused(this ILogger logger, string device, string request, string cause);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device}: {Count} more requests were refused in this session")]
    public static partial void RefusedMore(this ILogger logger, string device, long count);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device}: session ended, the connection failed: {Cause}")]
    public static partial void ConnectionFailed(this ILogger logger, string device, string cause);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device} queue {Queue}: to be stopped, and the device still holds {Count} requests after {Seconds:F1} s")]
    public static partial void RingDoesNotStop(this ILogger logger, string device, int queue, int count, double seconds);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Device}: the front-end is given up, a queue did not stop within {Seconds} s; nobody else is served until the device has given its requests back")]
    public static partial void Hung(this ILogger logger, string device, double seconds);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Device}: session ended by a failure of this program")]
    public static partial void Failed(this ILogger logger, string device, Exception exception);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Device}: negotiated features 0x{Features:x}")]
    public static partial void FeaturesSet(this ILogger logger, string device, ulong features);

    [LoggerMessage(Level = LogLevel.Debug, Message = "{Device}: negotiated protocol features {Features}")]
    public static partial void ProtocolFeaturesSet(this ILogger logger, string device, Protocol.ProtocolFeatures features);

    [LoggerMessage(Level = LogLevel.Debug, Message = "{Device}: {Request} of {Size} bytes with {Fds} descriptors")]
    public static partial void Received(this ILogger logger, string device, string request, uint size, int fds);

    [LoggerMessage(Level = LogLevel.Debug, Message = "{Device}: {Count} memory regions, {Bytes} bytes")]
    public static partial void MemoryChanged(this ILogger logger, string device, int count, ulong bytes);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device}: the channel to the front-end ended: {Cause}")]
    public static partial void ChannelEnded(this ILogger logger, string device, string cause);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device}: device state could not be transferred: {Cause}")]
    public static partial void StateTransferFailed(this ILogger logger, string device, string cause);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Device}: cleaning up after a session failed")]
    public static partial void CleanUpFailed(this ILogger logger, string device, Exception exception);
}
