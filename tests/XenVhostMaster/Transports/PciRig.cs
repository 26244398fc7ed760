using XenVhostMaster.Transports;
using XenVhostMaster.Transports.Pci;
using static XenVhostMaster.Transports.Pci.VirtioPciLayout;

namespace XenVhostMaster.Tests.Transports;

/// <summary>A virtio function on a bus, driven as a guest's driver would.</summary>
internal sealed class PciRig
{
    public const ulong BackendFeatures = 1UL << 5 | 1UL << 28 | 1UL << 29 | 1UL << 30 | 1UL << 32 | 1UL << 24 | 1UL << 37 | 1UL << 55;
    public const uint Slot = 1;
    public const uint Bdf = Slot << 3;
    public const ulong Bar = 0xfc00_0000;

    public PciRig(int queues = 2, bool pin = false, uint bar = (uint)Bar, ulong backendFeatures = BackendFeatures)
    {
        Model = new VirtioDeviceModel(2, queues, 256, backendFeatures, accessPlatform: false, Control);
        Control.Model = Model;
        Model.SetConfig(Enumerable.Range(1, 60).Select(static i => (byte)i).ToArray());
        Bus = new PciBus(Sink, 0xf000_0000, 0xfebf_ffff);
        Function = new VirtioPciFunction(Model, new VirtioPciOptions(0x018000, bar, pin), Sink);
        Bus.Add((int)Slot, Function);
    }

    public FakeControl Control { get; } = new();

    public FakePciSink Sink { get; } = new();

    public VirtioDeviceModel Model { get; }

    public PciBus Bus { get; }

    public VirtioPciFunction Function { get; }

    public uint Config(uint register, int size) => Bus.ReadConfig(Bdf, register, size);

    public void Config(uint register, int size, uint value) => Bus.WriteConfig(Bdf, register, size, value);

    public ulong Read(int offset, int size)
    {
        Assert.True(Bus.TryRead(Bar + (ulong)offset, size, out ulong value));
        return value;
    }

    public void Write(int offset, int size, ulong value) => Assert.True(Bus.TryWrite(Bar + (ulong)offset, size, value));

    public VirtioStatus Status => (VirtioStatus)Read(DeviceStatus, 1);

    /// <summary>What a driver does up to FEATURES_OK.</summary>
    public void Negotiate(ulong features)
    {
        Write(DeviceStatus, 1, 0);
        Write(DeviceStatus, 1, 1);
        Write(DeviceStatus, 1, 3);
        for (uint word = 0; word < 2; word++)
        {
            Write(DriverFeatureSelect, 4, word);
            Write(DriverFeature, 4, (uint)(features >> (int)(32 * word)));
        }

        Write(DeviceStatus, 1, 0xb);
    }

    public ulong Offered()
    {
        Write(DeviceFeatureSelect, 4, 0);
        ulong low = Read(DeviceFeature, 4);
        Write(DeviceFeatureSelect, 4, 1);
        return low | Read(DeviceFeature, 4) << 32;
    }

    public void SetUpQueue(int index, ushort vector = NoVector)
    {
        Write(QueueSelect, 2, (ulong)index);
        Write(QueueSize, 2, 128);
        Write(QueueMsixVector, 2, vector);
        ulong at = 0x10_0000 * ((ulong)index + 1);
        foreach ((int register, ulong address) in new[] { (QueueDesc, at), (QueueDriver, at + 0x1000), (QueueDevice, at + 0x2000) })
        {
            Write(register, 4, (uint)address);
            Write(register + 4, 4, address >> 32);
        }

        Write(QueueEnable, 2, 1);
    }

    /// <summary>A driver's whole initialization.</summary>
    public void BringUp(int queues = 2, ushort firstVector = NoVector)
    {
        Negotiate(Offered());
        Assert.True((Status & VirtioStatus.FeaturesOk) != 0);
        for (int i = 0; i < queues; i++)
            SetUpQueue(i, firstVector == NoVector ? NoVector : (ushort)(firstVector + i));

        Write(DeviceStatus, 1, 0xf);
    }
}
