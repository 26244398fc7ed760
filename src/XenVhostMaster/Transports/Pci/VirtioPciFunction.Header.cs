using static XenVhostMaster.Transports.Pci.VirtioPciLayout;

namespace XenVhostMaster.Transports.Pci;

/// <content>The header and the chain of capabilities.</content>
internal sealed partial class VirtioPciFunction
{
    private const int CommonCapability = 0x40;
    private const int NotifyCapability = 0x50;
    private const int IsrCapability = 0x64;
    private const int DeviceCapability = 0x74;
    private const int WindowCapability = 0x84;
    private const int MsixCapability = 0x98;

    private const int WindowBar = WindowCapability + 4;
    private const int WindowOffset = WindowCapability + 8;
    private const int WindowLength = WindowCapability + 12;
    private const int WindowData = WindowCapability + 16;

    private const ushort MsixEnable = 1 << 15;
    private const ushort MsixMaskAll = 1 << 14;

    private void FillHeader(in VirtioPciOptions options)
    {
        ushort device = (ushort)(ModernDeviceBase + _model.DeviceId);
        Set16(PciConfig.VendorId, VirtioVendor);
        Set16(PciConfig.DeviceId, device);
        Set16(PciConfig.Command, 0, PciConfig.CommandMemory | PciConfig.CommandMaster | PciConfig.CommandInterruptDisable);
        Set16(PciConfig.Status, PciConfig.StatusCapabilities);
        Set32(PciConfig.Revision, 1 | options.ClassCode << 8);
        Set8(PciConfig.CacheLineSize, 0, 0xff);
        Set8(PciConfig.LatencyTimer, 0, 0xff);

        // A 32-bit memory BAR: the address bits below its size stay zero, which is how a guest learns the size.
        Set32(PciConfig.Bar0, options.InitialBar & ~(BarSize - 1), ~(BarSize - 1));
        Set16(PciConfig.SubsystemVendor, VirtioVendor);
        Set16(PciConfig.SubsystemId, device);
        Set8(PciConfig.CapabilityPointer, CommonCapability);
        Set8(PciConfig.InterruptLine, 0, 0xff);
        Set8(PciConfig.InterruptPin, (byte)(options.HasPin ? 1 : 0));

        // Firmware would have turned decoding on after placing the BAR.
        if (options.InitialBar != 0)
            Poke16(PciConfig.Command, PciConfig.CommandMemory);
    }

    private void FillCapabilities()
    {
        VendorCapability(CommonCapability, NotifyCapability, 16, CapCommon, Common, CommonSize);
        VendorCapability(NotifyCapability, IsrCapability, 20, CapNotify, Notify, (uint)(_model.QueueCount * NotifyMultiplier));
        Set32(NotifyCapability + 16, NotifyMultiplier);
        VendorCapability(IsrCapability, DeviceCapability, 16, CapIsr, Isr, 1);
        VendorCapability(DeviceCapability, WindowCapability, 16, CapDevice, DeviceConfig, VirtioDeviceModel.MaxConfigSize);

        VendorCapability(WindowCapability, MsixCapability, 20, CapPciConfig, 0, 0);
        Set8(WindowBar, 0, 0xff);
        Set32(WindowOffset, 0, uint.MaxValue);
        Set32(WindowLength, 0, uint.MaxValue);

        Set8(MsixCapability, PciConfig.CapabilityMsix);
        Set8(MsixCapability + 1, 0);
        Set16(MsixCapability + 2, (ushort)(_msix.Vectors - 1), MsixEnable | MsixMaskAll);
        Set32(MsixCapability + 4, Table);
        Set32(MsixCapability + 8, Pending);
    }

    private void VendorCapability(int at, int next, byte length, byte type, uint offset, uint size)
    {
        Set8(at, PciConfig.CapabilityVendor);
        Set8(at + 1, (byte)next);
        Set8(at + 2, length);
        Set8(at + 3, type);
        Set32(at + 4, 0);
        Set32(at + 8, offset);
        Set32(at + 12, size);
    }
}
