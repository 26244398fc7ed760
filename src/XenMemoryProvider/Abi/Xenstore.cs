using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>The xenstore protocol (io/xs_wire.h).</summary>
[CHeader("xen/io/xs_wire.h")]
public static class Xenstore
{
    /// <summary>Bytes after the header; more ends the connection.</summary>
    [CConstant("XENSTORE_PAYLOAD_MAX")] public const int PayloadMax = 4096;
    [CConstant("XENSTORE_ABS_PATH_MAX")] public const int AbsolutePathMax = 3072;
    [CConstant("XENSTORE_REL_PATH_MAX")] public const int RelativePathMax = 2048;
    /// <summary>Bytes of each ring of <see cref="DomainInterface"/>.</summary>
    [CConstant("XENSTORE_RING_SIZE")] public const int RingSize = 1024;
    [CConstant("XENSTORE_SERVER_FEATURE_RECONNECTION")] public const uint ServerFeatureReconnection = 1;
    [CConstant("XENSTORE_SERVER_FEATURE_ERROR")] public const uint ServerFeatureError = 2;
    [CConstant("XENSTORE_CONNECTED")] public const uint Connected = 0;
    [CConstant("XENSTORE_RECONNECT")] public const uint Reconnect = 1;
    [CConstant("XENSTORE_ERROR_NONE")] public const uint ErrorNone = 0;
    [CConstant("XENSTORE_ERROR_COMM")] public const uint ErrorComm = 1;
    [CConstant("XENSTORE_ERROR_RINGIDX")] public const uint ErrorRingIndex = 2;
    [CConstant("XENSTORE_ERROR_PROTO")] public const uint ErrorProtocol = 3;

    /// <summary>The daemon's socket on the host.</summary>
    [NotInC("a path")] public const string SocketPath = "/var/run/xenstored/socket";
    /// <summary>The kernel's device, in any domain.</summary>
    [NotInC("a path")] public const string DevicePath = "/dev/xen/xenbus";

    /// <summary>Bytes of <see cref="Header"/>.</summary>
    [NotInC("part of a struct")] public const int HeaderSize = 16;

    /// <summary>What a message is.</summary>
    [CHeader("xen/io/xs_wire.h")]
    public enum MessageType : uint
    {
        [CConstant("XS_CONTROL")] Control = 0,
        [CConstant("XS_DIRECTORY")] Directory = 1,
        [CConstant("XS_READ")] Read = 2,
        [CConstant("XS_GET_PERMS")] GetPerms = 3,
        [CConstant("XS_WATCH")] Watch = 4,
        [CConstant("XS_UNWATCH")] Unwatch = 5,
        [CConstant("XS_TRANSACTION_START")] TransactionStart = 6,
        [CConstant("XS_TRANSACTION_END")] TransactionEnd = 7,
        [CConstant("XS_INTRODUCE")] Introduce = 8,
        [CConstant("XS_RELEASE")] Release = 9,
        [CConstant("XS_GET_DOMAIN_PATH")] GetDomainPath = 10,
        [CConstant("XS_WRITE")] Write = 11,
        [CConstant("XS_MKDIR")] Mkdir = 12,
        [CConstant("XS_RM")] Rm = 13,
        [CConstant("XS_SET_PERMS")] SetPerms = 14,
        [CConstant("XS_WATCH_EVENT")] WatchEvent = 15,
        [CConstant("XS_ERROR")] Error = 16,
        [CConstant("XS_IS_DOMAIN_INTRODUCED")] IsDomainIntroduced = 17,
        [CConstant("XS_RESUME")] Resume = 18,
        [CConstant("XS_SET_TARGET")] SetTarget = 19,
        [CConstant("XS_RESET_WATCHES")] ResetWatches = 21,
        [CConstant("XS_DIRECTORY_PART")] DirectoryPart = 22,
    }

    /// <summary>Before every message, in both directions.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct xsd_sockmsg", "xen/io/xs_wire.h")]
    public struct Header
    {
        [FieldOffset(0), CField("type")] public MessageType Type;
        /// <summary>Echoed by the reply; 0 in a watch event.</summary>
        [FieldOffset(4), CField("req_id")] public uint RequestId;
        /// <summary>0 outside a transaction.</summary>
        [FieldOffset(8), CField("tx_id")] public uint TransactionId;
        /// <summary>Bytes that follow.</summary>
        [FieldOffset(12), CField("len")] public uint Length;
    }

    /// <summary>The page a guest shares with the daemon. Indices run freely; a byte is at index modulo <see cref="RingSize"/>.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 2076)]
    [CStruct("struct xenstore_domain_interface", "xen/io/xs_wire.h")]
    public struct DomainInterface
    {
        [FieldOffset(0), CField("req[0]")] public byte Request0;
        [FieldOffset(1024), CField("rsp[0]")] public byte Response0;
        [FieldOffset(2048), CField("req_cons")] public uint RequestConsumer;
        [FieldOffset(2052), CField("req_prod")] public uint RequestProducer;
        [FieldOffset(2056), CField("rsp_cons")] public uint ResponseConsumer;
        [FieldOffset(2060), CField("rsp_prod")] public uint ResponseProducer;
        [FieldOffset(2064), CField("server_features")] public uint ServerFeatures;
        [FieldOffset(2068), CField("connection")] public uint Connection;
        [FieldOffset(2072), CField("error")] public uint Error;
    }

    /// <summary>The name of an error as the daemon spells it, or null for one it never sends.</summary>
    public static string? ErrorName(XenErrno error) => error switch
    {
        XenErrno.EINVAL or XenErrno.EACCES or XenErrno.EEXIST or XenErrno.EISDIR or XenErrno.ENOENT or XenErrno.ENOMEM
            or XenErrno.ENOSPC or XenErrno.EIO or XenErrno.ENOTEMPTY or XenErrno.ENOSYS or XenErrno.EROFS or XenErrno.EBUSY
            or XenErrno.EAGAIN or XenErrno.EISCONN or XenErrno.E2BIG or XenErrno.EPERM => error.ToString(),
        _ => null,
    };

    /// <summary>The error behind a name that the daemon sent (without its NUL); EINVAL for one it should not know.</summary>
    public static XenErrno ParseErrorName(ReadOnlySpan<char> name) =>
        Enum.TryParse(name, out XenErrno error) && name.SequenceEqual(ErrorName(error)) ? error : XenErrno.EINVAL;
}
