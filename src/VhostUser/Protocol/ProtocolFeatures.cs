namespace VhostUser.Protocol;

/// <summary>VHOST_USER_PROTOCOL_F_*: what both ends of the socket agreed on, apart from the virtio features.</summary>
[Flags]
public enum ProtocolFeatures : ulong
{
    None = 0,
    Mq = 1UL << 0,
    LogShmFd = 1UL << 1,
    Rarp = 1UL << 2,
    ReplyAck = 1UL << 3,
    Mtu = 1UL << 4,
    BackendReq = 1UL << 5,
    CrossEndian = 1UL << 6,
    CryptoSession = 1UL << 7,
    PageFault = 1UL << 8,
    Config = 1UL << 9,
    BackendSendFd = 1UL << 10,
    HostNotifier = 1UL << 11,
    InflightShmFd = 1UL << 12,
    ResetDevice = 1UL << 13,

    /// <summary>QEMU acknowledges it without doing it: never offer it to a front-end that is not known.</summary>
    InbandNotifications = 1UL << 14,
    ConfigureMemSlots = 1UL << 15,
    Status = 1UL << 16,

    /// <summary>QEMU acknowledges it without doing it: the size of a region tells, not the bit.</summary>
    XenMmap = 1UL << 17,
    SharedObject = 1UL << 18,
    DeviceState = 1UL << 19,
    GetVringBaseInflight = 1UL << 20,
    GpaAddresses = 1UL << 21,
    ShmemMap = 1UL << 22,
}
