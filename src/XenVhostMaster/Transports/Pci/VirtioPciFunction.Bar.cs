using static XenVhostMaster.Transports.Pci.VirtioPciLayout;

namespace XenVhostMaster.Transports.Pci;

/// <content>BAR 0: common configuration, notifications, ISR, device configuration, MSI-X; and the window to it in configuration space.</content>
internal sealed partial class VirtioPciFunction
{
    /// <summary>A guest's read within the BAR.</summary>
    public ulong ReadBar(ulong offset, int size)
    {
        switch (offset)
        {
            case < Isr:
                return offset < CommonSize ? ReadCommon((int)offset, size) : 0UL;
            case < DeviceConfig:
                return offset == Isr ? ReadIsr() : 0UL;
            case < Notify:
                return _model.ReadConfig(offset - DeviceConfig, size);
            case < Table:
                return 0;
            case < Pending:
                return _msix.ReadTable(offset - Table, size);
            default:
                return _msix.ReadPending(offset - Pending, size);
        }
    }

    /// <summary>A guest's write within the BAR.</summary>
    public void WriteBar(ulong offset, int size, ulong value)
    {
        switch (offset)
        {
            case >= Notify and < Table:
                // The address names the queue. With NOTIFICATION_DATA the value says how far the driver is, which an eventfd cannot carry on.
                _model.Notify((uint)(offset - Notify) / NotifyMultiplier);
                break;
            case < CommonSize:
                WriteCommon((int)offset, size, value);
                break;
            case >= DeviceConfig and < Notify:
                _model.WriteConfig(offset - DeviceConfig, size, value);
                break;
            case >= Table and < Pending:
                _msix.WriteTable(offset - Table, size, value);
                break;
        }
    }

    /// <summary>Reading it takes the causes away and lets the pin go.</summary>
    private byte ReadIsr()
    {
        byte isr = _isr;
        _isr = 0;
        UpdatePin();
        return isr;
    }

    private ulong ReadCommon(int offset, int size)
    {
        if ((offset & (size - 1)) != 0)
            return 0;

        if (size == 8)
            return CommonWord(offset) | (ulong)CommonWord(offset + 4) << 32;

        return CommonWord(offset & ~3) >> (8 * (offset & 3)) & Ones(size);
    }

    private uint CommonWord(int offset)
    {
        QueueState? queue = _model.Selected;
        return offset switch
        {
            DeviceFeatureSelect => _model.DeviceFeatureSelect,
            DeviceFeature => _model.DeviceFeatureWord,
            DriverFeatureSelect => _model.DriverFeatureSelect,
            DriverFeature => _model.DriverFeatureWord,
            ConfigMsixVector => _configVector | (uint)_model.QueueCount << 16,
            DeviceStatus => (uint)_model.Status | (uint)_model.ConfigGeneration << 8 | _model.QueueSelect << 16,
            _ when queue is null => offset == QueueSize ? (uint)NoVector << 16 : 0,
            QueueSize => queue.Size | (uint)_queueVectors[queue.Index] << 16,
            QueueEnable => (queue.Enabled ? 1u : 0u) | (uint)queue.Index << 16,
            QueueDesc => (uint)queue.Descriptors,
            QueueDesc + 4 => (uint)(queue.Descriptors >> 32),
            QueueDriver => (uint)queue.Driver,
            QueueDriver + 4 => (uint)(queue.Driver >> 32),
            QueueDevice => (uint)queue.Device,
            QueueDevice + 4 => (uint)(queue.Device >> 32),
            QueueNotifyData => (uint)queue.Index | (queue.Resetting ? 1u << 16 : 0u),
            _ => 0,
        };
    }

    /// <summary>Fields are written at their own width; 64-bit ones in halves too (virtio 1.3, 4.1.3.1). Anything else is ignored.</summary>
    private void WriteCommon(int offset, int size, ulong value)
    {
        switch (size)
        {
            case 8 when offset is QueueDesc or QueueDriver or QueueDevice:
                WriteCommon32(offset, (uint)value);
                WriteCommon32(offset + 4, (uint)(value >> 32));
                break;
            case 4:
                WriteCommon32(offset, (uint)value);
                break;
            case 2:
                WriteCommon16(offset, (ushort)value);
                break;
            case 1 when offset == DeviceStatus:
                _model.WriteStatus((byte)value);
                break;
        }
    }

    private void WriteCommon32(int offset, uint value)
    {
        switch (offset)
        {
            case DeviceFeatureSelect:
                _model.DeviceFeatureSelect = value;
                break;
            case DriverFeatureSelect:
                _model.DriverFeatureSelect = value;
                break;
            case DriverFeature:
                _model.DriverFeatureWord = value;
                break;
            case QueueDesc or QueueDesc + 4:
                _model.SetDescriptors(value, high: offset != QueueDesc);
                break;
            case QueueDriver or QueueDriver + 4:
                _model.SetDriver(value, high: offset != QueueDriver);
                break;
            case QueueDevice or QueueDevice + 4:
                _model.SetDevice(value, high: offset != QueueDevice);
                break;
        }
    }

    private void WriteCommon16(int offset, ushort value)
    {
        switch (offset)
        {
            case ConfigMsixVector:
                _configVector = Vector(value);
                break;
            case QueueSelect:
                _model.QueueSelect = value;
                break;
            case QueueSize:
                _model.SetQueueSize(value);
                break;
            case QueueMsixVector when _model.Selected is { } queue:
                _queueVectors[queue.Index] = Vector(value);
                break;
            case QueueEnable when value == 1:
                _model.EnableQueue();
                break;
            case QueueReset when value == 1:
                _model.ResetQueue();
                break;
        }
    }

    /// <summary>A vector that does not exist cannot be mapped, which the driver sees by reading back NO_VECTOR.</summary>
    private ushort Vector(ushort value) => value < _msix.Vectors ? value : NoVector;

    private static bool IsWindowData(uint register) => register is >= WindowData and < WindowData + 4;

    /// <summary>VIRTIO_PCI_CAP_PCI_CFG: the way to the BAR for firmware that cannot map it (virtio 1.3, 4.1.4.9).</summary>
    private uint ReadWindow(uint register, int size)
        => TryWindow(out uint offset, out int length) ? (uint)ReadBar(offset, length) >> (int)(8 * (register & 3)) & Ones(size) : 0;

    private void WriteWindow(uint register, int size, uint value)
    {
        if (register == WindowData && TryWindow(out uint offset, out int length) && size >= length)
            WriteBar(offset, length, value & Ones(length));
    }

    private bool TryWindow(out uint offset, out int length)
    {
        offset = Get32(WindowOffset);
        length = (int)Get32(WindowLength);
        return Get8(WindowBar) == 0 && length is 1 or 2 or 4 && offset <= BarSize - (uint)length && (offset & (uint)(length - 1)) == 0;
    }
}
