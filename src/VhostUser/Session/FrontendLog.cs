using Microsoft.Extensions.Logging;

namespace VhostUser.Session;

internal static partial class FrontendLog
{
    [LoggerMessage(Level = LogLevel.Warning, Message = "the back-end broke its channel: {Cause}")]
    public static partial void BackendChannelBroken(this ILogger logger, string cause);

    [LoggerMessage(Level = LogLevel.Debug, Message = "the back-end asked for {Request}, which this front-end does not do")]
    public static partial void BackendRequestRefused(this ILogger logger, string request);

    [LoggerMessage(Level = LogLevel.Error, Message = "the handler of the back-end's {Request} failed; later failures on this channel are not told")]
    public static partial void BackendRequestFailed(this ILogger logger, string request, Exception exception);
}
