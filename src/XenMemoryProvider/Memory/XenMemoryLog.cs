using Microsoft.Extensions.Logging;

namespace XenMemoryProvider.Memory;

internal static partial class XenMemoryLog
{
    [LoggerMessage(Level = LogLevel.Information, Message = "domain {Domid}: {Pages} pages at {Address} mapped in {Seconds:F3} s")]
    public static partial void ForeignMapped(this ILogger logger, ushort domid, int pages, string address, double seconds);

    [LoggerMessage(Level = LogLevel.Warning, Message = "domain {Domid}: {Holes} of {Pages} pages at {Address} are not there (frames {Frames}: {Error}); requests that touch them fail")]
    public static partial void ForeignHoles(this ILogger logger, ushort domid, int holes, int pages, string address, string frames, string error);

    [LoggerMessage(Level = LogLevel.Warning, Message = "domain {Domid}: this kernel cannot restrict privcmd to it")]
    public static partial void NotRestricted(this ILogger logger, ushort domid);

    [LoggerMessage(Level = LogLevel.Warning, Message = "guests of this Xen cannot be served: {Reason}")]
    public static partial void XenNotUsed(this ILogger logger, string reason);
}
