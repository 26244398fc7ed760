using XenModel.Domains;
using XenModel.Guests.Virtio;

namespace XenModel.Guests.Pci;

/// <summary>virtio over PCI, modern (virtio 1.3, 4.1), with MSI-X: an interrupt vector per queue, each to a CPU of its own.</summary>
internal sealed class PciTransport : VirtioTransport
{
    public const ushort VirtioVendor = 0x1af4;
    private const ushort FirstModernId = 0x1040;
    private const byte VendorCapability = 0x09, MsixCapability = 0x11;
    private const byte CommonCapability = 1, NotifyCapability = 2, IsrCapability = 3, DeviceCapability = 4;
    private const ushort MsixEnable = 0x8000;
    private const byte ConfigVector = 0x50, FirstQueueVector = 0x60;

    // Common configuration, 4.1.4.3.
    private const int DeviceFeatureSelect = 0, DeviceFeature = 4, DriverFeatureSelect = 8, DriverFeature = 0xc, ConfigMsix = 0x10, NumQueues = 0x12, DeviceStatus = 0x14;
    private const int QueueSelect = 0x16, QueueSize = 0x18, QueueMsix = 0x1a, QueueEnable = 0x1c, QueueNotifyOff = 0x1e, QueueDesc = 0x20, QueueDriver = 0x28, QueueDevice = 0x30;

    private readonly PciFunction _function;
    private readonly ulong _common, _notify, _isr, _device, _table;
    private readonly uint _multiplier;
    private readonly int _msix, _vectors;
    private readonly Dictionary<int, ulong> _bells = [];
    private long _configInterrupts;

    /// <exception cref="GuestCheckException">It is no virtio function with all that a driver needs.</exception>
    public PciTransport(Domain guest, PciFunction function)
        : base(guest)
    {
        _function = function;
        foreach ((int at, byte id) in function.Capabilities())
        {
            if (id == MsixCapability)
            {
                _msix = at;
                _vectors = (int)(function.Read(at + 2, 2) & 0x7ff) + 1;
                uint table = function.Read(at + 4, 4);
                _table = function.Bar((int)(table & 7)) + (table & ~7u);
            }

            if (id != VendorCapability) continue;
            ulong start = function.Bar((int)function.Read(at + 4, 1)) + function.Read(at + 8, 4);
            switch ((byte)function.Read(at + 3, 1))
            {
                case CommonCapability:
                    _common = start;
                    break;
                case NotifyCapability:
                    _notify = start;
                    _multiplier = function.Read(at + 16, 4);
                    break;
                case IsrCapability:
                    _isr = start;
                    break;
                case DeviceCapability:
                    _device = start;
                    break;
            }
        }

        if (_common == 0 || _notify == 0 || _isr == 0 || _device == 0 || _msix == 0) throw new GuestCheckException($"{function}: capabilities are missing");
    }

    public static bool IsVirtio(PciFunction function) => function.Vendor == VirtioVendor && function.Id >= FirstModernId;

    public override string Name => _function.ToString();

    public override uint DeviceId => (uint)(_function.Id - FirstModernId);

    public override int QueueCount => (int)Common(NumQueues, 2);

    public override int InterruptTargets => Guest.Vcpus.Count;

    public override byte Status
    {
        get => (byte)Common(DeviceStatus, 1);
        set => Common(DeviceStatus, 1, value);
    }

    /// <summary>Interrupts that told of a new configuration.</summary>
    public long ConfigInterrupts => Interlocked.Read(ref _configInterrupts);

    /// <summary>The interrupt status of drivers without MSI-X: reading clears it.</summary>
    public byte Isr => (byte)BootCpu.Io.MmioRead(_isr, 1);

    public ulong Common(int register, int size) => BootCpu.Io.MmioRead(_common + (uint)register, size);

    public void Common(int register, int size, ulong value) => BootCpu.Io.MmioWrite(_common + (uint)register, size, value);

    public override ulong ReadFeatures()
    {
        Common(DeviceFeatureSelect, 4, 0);
        ulong low = Common(DeviceFeature, 4);
        Common(DeviceFeatureSelect, 4, 1);
        return low | Common(DeviceFeature, 4) << 32;
    }

    public override void WriteFeatures(ulong features)
    {
        Common(DriverFeatureSelect, 4, 0);
        Common(DriverFeature, 4, (uint)features);
        Common(DriverFeatureSelect, 4, 1);
        Common(DriverFeature, 4, features >> 32);
    }

    public override ulong ReadConfig(int offset, int size) => BootCpu.Io.MmioRead(_device + (uint)offset, size);

    public override void SetUpInterrupts(int queues)
    {
        if (_vectors < queues + 1) throw new GuestCheckException($"{Name}: {_vectors} interrupt vectors for {queues} queues");
        Vector(0, BootCpu, ConfigVector);
        _function.Write(_msix + 2, 2, MsixEnable);
        Common(ConfigMsix, 2, 0);
        if (Common(ConfigMsix, 2) != 0) throw new GuestCheckException($"{Name}: no vector for the configuration");
    }

    public override int QueueSizeMax(int queue)
    {
        Common(QueueSelect, 2, (uint)queue);
        return (int)Common(QueueSize, 2);
    }

    public override void SetUpQueue(int queue, int cpu, int size, ulong descriptors, ulong driver, ulong device)
    {
        Vector(queue + 1, Guest.Vcpus[cpu], (byte)(FirstQueueVector + queue));
        Common(QueueSelect, 2, (uint)queue);
        Common(QueueSize, 2, (uint)size);
        Common(QueueMsix, 2, (uint)queue + 1);
        if (Common(QueueMsix, 2) != (uint)queue + 1) throw new GuestCheckException($"{Name}: no vector for queue {queue}");
        Common(QueueDesc, 8, descriptors);
        Common(QueueDriver, 8, driver);
        Common(QueueDevice, 8, device);
        Common(QueueEnable, 2, 1);
        if (Common(QueueEnable, 2) != 1) throw new GuestCheckException($"{Name}: queue {queue} stays off");
        _bells[queue] = _notify + Common(QueueNotifyOff, 2) * _multiplier;
    }

    protected override void Ring(Vcpu cpu, int queue) => cpu.Io.MmioWrite(_bells[queue], 2, (uint)queue);

    protected override bool Wait(Vcpu cpu, TimeSpan timeout)
    {
        if (!cpu.Apic.WaitTake(timeout, out byte vector)) return false;
        if (vector == ConfigVector) Interlocked.Increment(ref _configInterrupts);
        return true;
    }

    /// <summary>Programs an entry of the MSI-X table: masked while it changes.</summary>
    private void Vector(int entry, Vcpu cpu, byte vector)
    {
        ulong at = _table + 16 * (uint)entry;
        BootCpu.Io.MmioWrite(at + 12, 4, 1);
        BootCpu.Io.MmioWrite(at, 4, 0xfee0_0000 | cpu.Apic.Id << 12);
        BootCpu.Io.MmioWrite(at + 4, 4, 0);
        BootCpu.Io.MmioWrite(at + 8, 4, vector);
        BootCpu.Io.MmioWrite(at + 12, 4, 0);
    }
}
