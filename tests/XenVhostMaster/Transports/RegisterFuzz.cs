using XenVhostMaster.Transports;
using XenVhostMaster.Transports.Mmio;
using XenVhostMaster.Transports.Pci;

namespace XenVhostMaster.Tests.Transports;

/// <summary>
/// A guest that does what it likes to three PCI functions and one MMIO device: any register, any width, any value, half of
/// them likely ones, while back-ends answer late, fail, and change their configuration. The same seed is the same guest.
/// </summary>
internal sealed class RegisterFuzz
{
    private const int Functions = 3;
    private static readonly uint[] Interesting = [0, 1, 2, 3, 4, 7, 8, 0xb, 0xf, 0x40, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xc000, 0xffff, 0xfc00_0000, 0xfc01_0000, 0xfebf_0000, uint.MaxValue];

    private readonly Random _random;
    private readonly FakePciSink _sink = new() { KeepMessages = false };
    private readonly PciBus _bus;
    private readonly List<(FakeControl Control, VirtioDeviceModel Model)> _devices = [];
    private readonly VirtioMmioDevice _mmio;

    public RegisterFuzz(int seed)
    {
        _random = new Random(seed);
        _bus = new PciBus(_sink, 0xf000_0000, 0xfebf_ffff);
        _bus.Add(0, new HostBridge());
        for (int i = 0; i < Functions; i++)
            _bus.Add(1 + i, new VirtioPciFunction(Device(1 + 31 * i), new VirtioPciOptions(0, 0xfc00_0000 + (uint)i * VirtioPciLayout.BarSize, HasPin: i == 1), _sink));

        _mmio = new VirtioMmioDevice(Device(2), new FakeLine());
    }

    public long Kicks => _devices.Sum(static device => device.Control.Kicks);

    public long Starts => _devices.Sum(static device => (long)device.Control.Starts);

    public long Resets => _devices.Sum(static device => (long)device.Control.Resets);

    public long Messages => _sink.MessageCount;

    /// <summary>Throws if the device model does, or breaks a rule that the sinks hold it to.</summary>
    public void Run(long accesses)
    {
        for (long i = 0; i < accesses; i++)
        {
            switch (_random.Next(32))
            {
                case 0 when _random.Next(8) == 0:
                    BehaveOnce();
                    break;
                case < 2:
                    BackEndDoesSomething();
                    break;
                case < 8:
                    Config();
                    break;
                case < 14:
                    Mmio();
                    break;
                default:
                    Bar();
                    break;
            }
        }

        foreach ((FakeControl control, VirtioDeviceModel model) in _devices)
        {
            Assert.True(model.QueueSelect <= uint.MaxValue);
            if (control.ResetPending)
                control.FinishReset();

            // Whatever happened, a reset makes it usable again.
            model.WriteStatus(0);
            if (control.ResetPending)
                control.FinishReset();

            Assert.Equal(VirtioStatus.None, model.Status);
        }

        Assert.True(_sink.Claims.Count <= Functions);
    }

    /// <summary>Now and then the guest does everything right for a moment, or nothing behind DRIVER_OK would ever run.</summary>
    private void BehaveOnce()
    {
        uint slot = 1 + (uint)_random.Next(Functions);
        ulong bar = 0xfc00_0000 + (slot - 1) * VirtioPciLayout.BarSize;
        _bus.WriteConfig(slot << 3, PciConfig.Bar0, 4, (uint)bar);
        _bus.WriteConfig(slot << 3, PciConfig.Command, 2, PciConfig.CommandMemory);
        _bus.WriteConfig(slot << 3, 0x98 + 2, 2, _random.Next(4) == 0 ? 0u : 0x8000u);
        Write(VirtioPciLayout.DeviceStatus, 1, 0);
        FakeControl control = _devices[(int)slot - 1].Control;
        if (control.ResetPending)
            control.FinishReset();

        Write(VirtioPciLayout.DeviceStatus, 1, 3);
        Write(VirtioPciLayout.DriverFeatureSelect, 4, 1);
        Write(VirtioPciLayout.DriverFeature, 4, 1 | 1 << 8);
        Write(VirtioPciLayout.DeviceStatus, 1, 0xb);
        for (uint queue = 0; queue < 3; queue++)
        {
            Write(VirtioPciLayout.QueueSelect, 2, queue);
            Write(VirtioPciLayout.QueueMsixVector, 2, queue);
            Write(VirtioPciLayout.Table + 16 * (int)queue + 12, 4, (uint)_random.Next(2));
            Write(VirtioPciLayout.QueueEnable, 2, 1);
        }

        Write(VirtioPciLayout.DeviceStatus, 1, 0xf);

        void Write(int offset, int size, uint value) => _bus.TryWrite(bar + (ulong)offset, size, value);
    }

    private VirtioDeviceModel Device(int queues)
    {
        var control = new FakeControl();
        var model = new VirtioDeviceModel(2, queues, 256, PciRig.BackendFeatures, accessPlatform: false, control);
        control.Model = model;
        model.SetConfig(new byte[60]);
        _devices.Add((control, model));
        return model;
    }

    private void Config()
    {
        uint bdf = _random.Next(16) == 0 ? (uint)_random.Next(0x10000) : (uint)_random.Next(Functions + 1) << 3;
        uint register = _random.Next(16) == 0 ? (uint)_random.Next(0x1000) : (uint)_random.Next(0x100);
        int size = 1 << _random.Next(3);
        if (_random.Next(3) == 0)
        {
            uint value = _bus.ReadConfig(bdf, register, size);
            Assert.True(size == 4 || value >> (8 * size) == 0, "a read is no wider than asked");
        }
        else
        {
            // Mostly keep decoding on, or there is nothing left to fuzz.
            uint value = (uint)Value();
            if ((register & ~3u) == PciConfig.Command && register < 8 && _random.Next(8) != 0)
                (register, size, value) = (PciConfig.Command, 2, value | PciConfig.CommandMemory);
            else if ((register & ~3u) == PciConfig.Bar0 && _random.Next(4) != 0)
                (register, size, value) = (PciConfig.Bar0, 4, 0xfc00_0000 + (uint)_random.Next(4) * VirtioPciLayout.BarSize);

            _bus.WriteConfig(bdf, register, size, value);
        }
    }

    private void Bar()
    {
        ulong address = 0xfc00_0000 + (ulong)_random.Next(4) * VirtioPciLayout.BarSize;
        address += _random.Next(4) switch
        {
            0 => (ulong)_random.Next((int)VirtioPciLayout.BarSize),
            1 => (ulong)(VirtioPciLayout.Notify + _random.Next(256)),
            _ => (ulong)_random.Next(0x40),
        };
        int size = 1 << _random.Next(4);
        if (_random.Next(3) == 0)
            _bus.TryRead(address, size, out _);
        else
            _bus.TryWrite(address, size, Likely(address & 0xffff, size));
    }

    /// <summary>Status and enable get values that lead somewhere now and then.</summary>
    private ulong Likely(ulong offset, int size) => offset switch
    {
        VirtioPciLayout.DeviceStatus when size == 1 && _random.Next(2) == 0 => _random.Next(4) switch { 0 => 0u, 1 => 3u, 2 => 0xbu, _ => 0xfu },
        VirtioPciLayout.DriverFeatureSelect when size == 4 => (ulong)_random.Next(3),
        VirtioPciLayout.DriverFeature when size == 4 && _random.Next(2) == 0 => 1,
        VirtioPciLayout.QueueEnable when size == 2 => 1,
        VirtioPciLayout.QueueSelect when size == 2 => (ulong)_random.Next(5),
        _ => Value(),
    };

    private void Mmio()
    {
        ulong offset = (ulong)(_random.Next(8) == 0 ? _random.Next(0x1000) : _random.Next(0x40) * 4);
        int size = _random.Next(4) == 0 ? 1 << _random.Next(4) : 4;
        if (_random.Next(3) == 0)
            _mmio.Read(offset, size);
        else
            _mmio.Write(offset, size, offset == VirtioMmioRegister.Status ? Likely(VirtioPciLayout.DeviceStatus, 1) : Value());
    }

    private void BackEndDoesSomething()
    {
        (FakeControl control, VirtioDeviceModel model) = _devices[_random.Next(_devices.Count)];
        switch (_random.Next(8))
        {
            case 0:
                model.SetConfig(new byte[_random.Next(300)]);
                break;
            case 1:
                model.Fail();
                break;
            case 2:
                model.Reoffer(_random.Next(2) == 0 ? PciRig.BackendFeatures : (ulong)_random.NextInt64());
                model.Reoffer(PciRig.BackendFeatures);
                break;
            case < 5 when control.ResetPending:
                control.FinishReset();
                break;
            case 5 when control.QueuesToReset.Count != 0:
                control.FinishQueueReset();
                break;
            default:
                model.QueueUsed(_random.Next(3) == 0 ? _random.Next(-1, 70) : _random.Next(3));
                break;
        }
    }

    private ulong Value() => _random.Next(4) switch
    {
        0 => (ulong)_random.NextInt64(),
        1 => (uint)_random.Next(5),
        _ => Interesting[_random.Next(Interesting.Length)],
    };
}
