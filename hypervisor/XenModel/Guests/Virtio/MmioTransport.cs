using XenModel.Domains;

namespace XenModel.Guests.Virtio;

/// <summary>virtio over MMIO, version 2 (virtio 1.3, 4.2), with a shared peripheral interrupt as on Arm.</summary>
internal sealed class MmioTransport : VirtioTransport
{
    private const uint Magic = 0x74726976;
    private const int MagicValue = 0, Version = 4, Device = 8, DeviceFeatures = 0x10, DeviceFeaturesSel = 0x14, DriverFeatures = 0x20, DriverFeaturesSel = 0x24;
    private const int QueueSel = 0x30, QueueNumMax = 0x34, QueueNum = 0x38, QueueReady = 0x44, QueueNotify = 0x50, InterruptStatus = 0x60, InterruptAck = 0x64;
    private const int StatusRegister = 0x70, QueueDesc = 0x80, QueueDriver = 0x90, QueueDevice = 0xa0, Config = 0x100;

    private readonly ulong _base;
    private readonly uint _irq;

    /// <param name="start">First of 512 bytes of registers.</param>
    /// <param name="irq">32 and up.</param>
    /// <exception cref="GuestCheckException">There is no such device.</exception>
    public MmioTransport(Domain guest, ulong start, uint irq)
        : base(guest)
    {
        _base = start;
        _irq = irq;
        if (Read(MagicValue) != Magic || Read(Version) != 2) throw new GuestCheckException($"{Name}: no virtio-mmio device of version 2");
    }

    public override string Name => $"mmio@{_base:x}";

    public override uint DeviceId => Read(Device);

    // One wire for everything, to one CPU.
    public override int InterruptTargets => 1;

    public override byte Status
    {
        get => (byte)Read(StatusRegister);
        set => Write(StatusRegister, value);
    }

    public uint Read(int register) => (uint)BootCpu.Io.MmioRead(_base + (uint)register, 4);

    public void Write(int register, uint value) => BootCpu.Io.MmioWrite(_base + (uint)register, 4, value);

    public override ulong ReadFeatures()
    {
        Write(DeviceFeaturesSel, 0);
        ulong low = Read(DeviceFeatures);
        Write(DeviceFeaturesSel, 1);
        return low | (ulong)Read(DeviceFeatures) << 32;
    }

    public override void WriteFeatures(ulong features)
    {
        Write(DriverFeaturesSel, 0);
        Write(DriverFeatures, (uint)features);
        Write(DriverFeaturesSel, 1);
        Write(DriverFeatures, (uint)(features >> 32));
    }

    // Accesses of the configuration have the field's width; 64-bit fields are two.
    public override ulong ReadConfig(int offset, int size) => size == 8
        ? ReadConfig(offset, 4) | ReadConfig(offset + 4, 4) << 32
        : BootCpu.Io.MmioRead(_base + Config + (uint)offset, size);

    public override void SetUpInterrupts(int queues) => Write(InterruptAck, Read(InterruptStatus));

    public override int QueueSizeMax(int queue)
    {
        Write(QueueSel, (uint)queue);
        return (int)Read(QueueNumMax);
    }

    public override void SetUpQueue(int queue, int cpu, int size, ulong descriptors, ulong driver, ulong device)
    {
        Write(QueueSel, (uint)queue);
        if (Read(QueueReady) != 0) throw new GuestCheckException($"{Name}: queue {queue} is in use after a reset");
        Write(QueueNum, (uint)size);
        foreach ((int register, ulong address) in (ReadOnlySpan<(int, ulong)>)[(QueueDesc, descriptors), (QueueDriver, driver), (QueueDevice, device)])
        {
            Write(register, (uint)address);
            Write(register + 4, (uint)(address >> 32));
        }

        Write(QueueReady, 1);
        if (Read(QueueReady) != 1) throw new GuestCheckException($"{Name}: queue {queue} stays off");
    }

    protected override void Ring(Vcpu cpu, int queue) => cpu.Io.MmioWrite(_base + QueueNotify, 4, (uint)queue);

    protected override bool Wait(Vcpu cpu, TimeSpan timeout)
    {
        if (!Guest.Interrupts.WaitForSpi(_irq, timeout)) return false;
        Guest.ThrowIfStopped();
        uint causes = (uint)cpu.Io.MmioRead(_base + InterruptStatus, 4);
        cpu.Io.MmioWrite(_base + InterruptAck, 4, causes);
        return true;
    }
}
