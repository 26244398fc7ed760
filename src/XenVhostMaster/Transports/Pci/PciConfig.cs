namespace XenVhostMaster.Transports.Pci;

/// <summary>Offsets and bits of a type-0 configuration header (PCI 3.0, chapter 6).</summary>
internal static class PciConfig
{
    public const int Size = 256;

    public const int VendorId = 0x00;
    public const int DeviceId = 0x02;
    public const int Command = 0x04;
    public const int Status = 0x06;
    public const int Revision = 0x08;
    public const int ClassCode = 0x09;
    public const int CacheLineSize = 0x0c;
    public const int LatencyTimer = 0x0d;
    public const int Bar0 = 0x10;
    public const int SubsystemVendor = 0x2c;
    public const int SubsystemId = 0x2e;
    public const int CapabilityPointer = 0x34;
    public const int InterruptLine = 0x3c;
    public const int InterruptPin = 0x3d;

    public const ushort CommandMemory = 1 << 1;
    public const ushort CommandMaster = 1 << 2;
    public const ushort CommandInterruptDisable = 1 << 10;
    public const ushort StatusInterrupt = 1 << 3;
    public const ushort StatusCapabilities = 1 << 4;

    public const byte CapabilityVendor = 0x09;
    public const byte CapabilityMsix = 0x11;
}
