namespace XenModel.Guests.Virtio;

/// <summary>Feature bits (virtio 1.3, 6 and 5.2.3).</summary>
internal static class VirtioFeature
{
    public const ulong BlkFlush = 1UL << 9;
    public const ulong BlkMq = 1UL << 12;
    public const ulong BlkDiscard = 1UL << 13;
    public const ulong BlkWriteZeroes = 1UL << 14;
    public const ulong IndirectDesc = 1UL << 28;
    public const ulong EventIdx = 1UL << 29;
    public const ulong Version1 = 1UL << 32;
    public const ulong AccessPlatform = 1UL << 33;
}
