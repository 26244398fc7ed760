namespace XenVhostMaster.Transports.Pci;

/// <summary>
/// Where things are: one memory BAR of 64 KiB holds everything, so that a device costs Xen one range. The offsets of
/// common configuration are virtio 1.3, 4.1.4.3.
/// </summary>
internal static class VirtioPciLayout
{
    public const uint BarSize = 0x10000;

    public const int Common = 0x0000;
    public const int CommonSize = 0x40;
    public const int Isr = 0x1000;
    public const int DeviceConfig = 0x2000;
    public const int Notify = 0x3000;
    public const int NotifyMultiplier = 4;
    public const int Table = 0x4000;
    public const int Pending = 0xc000;

    /// <summary>As many as fit: a vector per queue, and one for the configuration.</summary>
    public const int MaxVectors = 2048;

    public const ushort NoVector = 0xffff;

    public const byte CapCommon = 1;
    public const byte CapNotify = 2;
    public const byte CapIsr = 3;
    public const byte CapDevice = 4;
    public const byte CapPciConfig = 5;

    public const int DeviceFeatureSelect = 0x00;
    public const int DeviceFeature = 0x04;
    public const int DriverFeatureSelect = 0x08;
    public const int DriverFeature = 0x0c;
    public const int ConfigMsixVector = 0x10;
    public const int NumQueues = 0x12;
    public const int DeviceStatus = 0x14;
    public const int ConfigGeneration = 0x15;
    public const int QueueSelect = 0x16;
    public const int QueueSize = 0x18;
    public const int QueueMsixVector = 0x1a;
    public const int QueueEnable = 0x1c;
    public const int QueueNotifyOff = 0x1e;
    public const int QueueDesc = 0x20;
    public const int QueueDriver = 0x28;
    public const int QueueDevice = 0x30;
    public const int QueueNotifyData = 0x38;
    public const int QueueReset = 0x3a;
}
