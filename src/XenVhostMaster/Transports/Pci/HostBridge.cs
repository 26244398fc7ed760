namespace XenVhostMaster.Transports.Pci;

/// <summary>
/// The host bridge of a guest that has no other device model: a PVH guest's kernel looks for one at 0000:00:00.0 to
/// believe in the bus at all. An Intel 440FX by name, and nothing behind the name.
/// </summary>
internal sealed class HostBridge : PciFunction
{
    public HostBridge()
    {
        Set16(PciConfig.VendorId, 0x8086);
        Set16(PciConfig.DeviceId, 0x1237);
        Set8(PciConfig.Revision, 0x02);
        Set8(PciConfig.ClassCode + 2, 0x06);
        Set16(PciConfig.SubsystemVendor, 0x1af4);
        Set16(PciConfig.SubsystemId, 0x1100);
    }
}
