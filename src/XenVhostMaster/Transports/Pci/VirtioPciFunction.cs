using static XenVhostMaster.Transports.Pci.VirtioPciLayout;

namespace XenVhostMaster.Transports.Pci;

/// <summary>virtio over PCI, modern only (virtio 1.3, 4.1): configuration space, BAR 0 and interrupts of one function.</summary>
internal sealed partial class VirtioPciFunction : PciFunction, IVirtioTransport
{
    private const ushort VirtioVendor = 0x1af4;
    private const ushort ModernDeviceBase = 0x1040;
    private const byte CauseQueue = 1;
    private const byte CauseConfig = 2;

    private readonly VirtioDeviceModel _model;
    private readonly IPciSink _sink;
    private readonly MsixTable _msix;
    private readonly bool _hasPin;
    private readonly ushort[] _queueVectors;
    private ushort _configVector = NoVector;
    private byte _isr;
    private bool _pinAsserted;

    /// <param name="model">The device behind it.</param>
    /// <param name="options">What firmware would decide.</param>
    /// <param name="sink">Interrupts and ranges.</param>
    public VirtioPciFunction(VirtioDeviceModel model, VirtioPciOptions options, IPciSink sink)
    {
        _model = model;
        _sink = sink;
        _hasPin = options.HasPin;
        _msix = new MsixTable(Math.Min(model.QueueCount + 1, MaxVectors), sink);
        _queueVectors = new ushort[model.QueueCount];
        Array.Fill(_queueVectors, NoVector);
        FillHeader(options);
        FillCapabilities();
        model.Attach(this);
    }

    /// <summary>The device behind the registers.</summary>
    public VirtioDeviceModel Model => _model;

    /// <summary>Set by the bus: where BAR 0 answers now; null while it does not.</summary>
    public ulong? MappedAt { get; internal set; }

    /// <summary>Where BAR 0 would answer; null while memory decoding is off.</summary>
    public ulong? WantedAt => (Get16(PciConfig.Command) & PciConfig.CommandMemory) != 0 ? Get32(PciConfig.Bar0) & ~(BarSize - 1) : null;

    public override uint ReadConfig(uint register, int size)
    {
        if (!InSpace(register, size))
            return Ones(size);

        uint value = IsWindowData(register) ? ReadWindow(register, size) : base.ReadConfig(register, size);
        return register is PciConfig.Status && _pinAsserted ? value | PciConfig.StatusInterrupt
            : register is PciConfig.Command && size == 4 && _pinAsserted ? value | (uint)PciConfig.StatusInterrupt << 16 : value;
    }

    public override void WriteConfig(uint register, int size, uint value)
    {
        if (!InSpace(register, size))
            return;

        if (IsWindowData(register))
        {
            WriteWindow(register, size, value);
            return;
        }

        base.WriteConfig(register, size, value);
        switch (register & ~3u)
        {
            case PciConfig.Command:
                UpdatePin();
                break;
            case MsixCapability:
                ushort control = Get16(MsixCapability + 2);
                _msix.SetControl((control & MsixEnable) != 0, (control & MsixMaskAll) != 0);
                UpdatePin();
                break;
        }
    }

    public void QueueInterrupt(int queue)
    {
        if (_msix.Enabled)
        {
            _msix.Fire(_queueVectors[queue]);
            return;
        }

        _isr |= CauseQueue;
        UpdatePin();
    }

    public void ConfigInterrupt()
    {
        if (_msix.Enabled)
        {
            _msix.Fire(_configVector);
            return;
        }

        _isr |= CauseConfig;
        UpdatePin();
    }

    public void DeviceReset()
    {
        _configVector = NoVector;
        Array.Fill(_queueVectors, NoVector);
        _msix.Forget();
        _isr = 0;
        UpdatePin();
    }

    void IVirtioTransport.QueueReset(int queue) => _queueVectors[queue] = NoVector;

    /// <summary>Lets go of the pin: the function is taken out.</summary>
    public void Remove()
    {
        _isr = 0;
        UpdatePin();
    }

    /// <summary>The pin is up while there is a cause, unless MSI-X or the command register says otherwise.</summary>
    private void UpdatePin()
    {
        bool asserted = _hasPin && _isr != 0 && !_msix.Enabled && (Get16(PciConfig.Command) & PciConfig.CommandInterruptDisable) == 0;
        if (asserted == _pinAsserted)
            return;

        _pinAsserted = asserted;
        _sink.SetInterruptPin(Device, 0, asserted);
    }
}
