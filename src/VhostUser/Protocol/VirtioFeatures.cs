namespace VhostUser.Protocol;

/// <summary>Feature bits that belong to the ring and the transport (virtio 1.3, section 6) and to vhost.</summary>
public static class VirtioFeatures
{
    public const ulong NotifyOnEmpty = 1UL << 24;
    public const ulong LogAll = 1UL << 26;
    public const ulong AnyLayout = 1UL << 27;
    public const ulong IndirectDesc = 1UL << 28;
    public const ulong EventIdx = 1UL << 29;

    /// <summary>VHOST_USER_F_PROTOCOL_FEATURES.</summary>
    public const ulong ProtocolFeatures = 1UL << 30;
    public const ulong Version1 = 1UL << 32;
    public const ulong AccessPlatform = 1UL << 33;
    public const ulong RingPacked = 1UL << 34;
    public const ulong InOrder = 1UL << 35;
    public const ulong OrderPlatform = 1UL << 36;
    public const ulong SrIov = 1UL << 37;
    public const ulong NotificationData = 1UL << 38;
    public const ulong NotifConfigData = 1UL << 39;
    public const ulong RingReset = 1UL << 40;
}
