using static XenVhostMaster.Transports.Mmio.VirtioMmioRegister;

namespace XenVhostMaster.Transports.Mmio;

/// <summary>virtio over MMIO, version 2 (virtio 1.3, 4.2).</summary>
internal sealed class VirtioMmioDevice : IVirtioTransport
{
    private const uint Magic = 0x74726976;
    private const uint Vendor = 0x4e455856;
    private const uint CauseQueue = 1;
    private const uint CauseConfig = 2;

    private readonly VirtioDeviceModel _model;
    private readonly IInterruptLine _line;
    private uint _causes;

    /// <param name="model">The device behind it.</param>
    /// <param name="line">Asserted while there is a cause.</param>
    public VirtioMmioDevice(VirtioDeviceModel model, IInterruptLine line)
    {
        _model = model;
        _line = line;
        model.Attach(this);
    }

    /// <summary>A guest's read within the range. The registers are 32 bits wide and read so; anything else reads as zero.</summary>
    public ulong Read(ulong offset, int size)
    {
        if (offset >= Config)
            return offset < RangeSize ? _model.ReadConfig(offset - Config, size) : 0;

        if (size != 4)
            return 0;

        return (int)offset switch
        {
            MagicValue => Magic,
            VirtioMmioRegister.Version => 2,
            DeviceId => _model.DeviceId,
            VendorId => Vendor,
            DeviceFeatures => _model.DeviceFeatureWord,
            QueueSizeMax => _model.Selected?.MaxSize ?? 0u,
            QueueReady => _model.Selected is { Enabled: true } ? 1u : 0u,
            InterruptStatus => _causes,
            VirtioMmioRegister.Status => (uint)_model.Status,
            // No shared memory regions: their length is -1.
            ShmLenLow or ShmLenHigh or ShmBaseLow or ShmBaseHigh => uint.MaxValue,
            VirtioMmioRegister.QueueReset => _model.Selected is { Resetting: true } ? 1u : 0u,
            VirtioMmioRegister.ConfigGeneration => _model.ConfigGeneration,
            _ => 0,
        };
    }

    /// <summary>A guest's write within the range.</summary>
    public void Write(ulong offset, int size, ulong value)
    {
        if (offset >= Config)
        {
            if (offset < RangeSize)
                _model.WriteConfig(offset - Config, size, value);

            return;
        }

        if (size == 4)
            WriteRegister((int)offset, (uint)value);
    }

    public void QueueInterrupt(int queue) => Raise(CauseQueue);

    public void ConfigInterrupt() => Raise(CauseConfig);

    public void DeviceReset() => Lower(CauseQueue | CauseConfig);

    void IVirtioTransport.QueueReset(int queue)
    {
    }

    private void WriteRegister(int register, uint value)
    {
        switch (register)
        {
            case QueueNotify:
                // With NOTIFICATION_DATA the upper half says how far the driver is, which an eventfd cannot carry on.
                _model.Notify(value & 0xffff);
                break;
            case InterruptAck:
                Lower(value);
                break;
            case DeviceFeaturesSel:
                _model.DeviceFeatureSelect = value;
                break;
            case DriverFeaturesSel:
                _model.DriverFeatureSelect = value;
                break;
            case DriverFeatures:
                _model.DriverFeatureWord = value;
                break;
            case QueueSel:
                _model.QueueSelect = value;
                break;
            case QueueSize:
                _model.SetQueueSize(value);
                break;
            case QueueReady:
                WriteReady(value);
                break;
            case VirtioMmioRegister.Status:
                _model.WriteStatus(value);
                break;
            case QueueDescLow or QueueDescHigh:
                _model.SetDescriptors(value, high: register == QueueDescHigh);
                break;
            case QueueDriverLow or QueueDriverHigh:
                _model.SetDriver(value, high: register == QueueDriverHigh);
                break;
            case QueueDeviceLow or QueueDeviceHigh:
                _model.SetDevice(value, high: register == QueueDeviceHigh);
                break;
            case VirtioMmioRegister.QueueReset when value == 1:
                _model.ResetQueue();
                break;
        }
    }

    /// <summary>1 gives the queue to the device. 0 takes it back where the driver may do that; without RING_RESET only a reset of the device does.</summary>
    private void WriteReady(uint value)
    {
        if (value == 1)
            _model.EnableQueue();
        else if (value == 0)
            _model.ResetQueue();
    }

    private void Raise(uint cause)
    {
        bool was = _causes != 0;
        _causes |= cause;
        if (!was)
            _line.Set(true);
    }

    /// <summary>A cause that came since the driver looked keeps the line up, with an edge for those who wait for edges.</summary>
    private void Lower(uint causes)
    {
        uint before = _causes;
        _causes &= ~causes;
        if (before == 0 || before == _causes)
            return;

        _line.Set(false);
        if (_causes != 0)
            _line.Set(true);
    }
}
