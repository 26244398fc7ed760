namespace XenVhostMaster.Transports;

/// <summary>The device status (virtio 1.3, 2.1).</summary>
[Flags]
internal enum VirtioStatus : byte
{
    None = 0,
    Acknowledge = 1,
    Driver = 2,
    DriverOk = 4,
    FeaturesOk = 8,
    NeedsReset = 0x40,
    Failed = 0x80,
}
