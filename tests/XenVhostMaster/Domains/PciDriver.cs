using XenModel.Domains;
using XenVhostMaster.Transports;
using XenVhostMaster.Transports.Pci;
using static XenVhostMaster.Transports.Pci.VirtioPciLayout;

namespace XenVhostMaster.Tests.Domains;

/// <summary>
/// A guest's driver of an echo device: finds the function, walks its capabilities, sets up MSI-X and split rings in guest
/// memory, sends bytes and compares what comes back. It knows of the device what a specification says and no more.
/// </summary>
internal sealed class PciDriver(Domain guest, int slot)
{
    private readonly Vcpu _vcpu = guest.Vcpus[0];
    private readonly EchoRing[] _rings = [new(guest, 2 * slot), new(guest, 2 * slot + 1)];
    private ulong _bar, _common, _notify, _isr, _device;
    private uint _multiplier;

    public ulong Features { get; private set; }

    public ulong Bar => _bar;

    public byte Vector(int queue) => (byte)(0x60 + queue);

    public byte ConfigVector => 0x50;

    public uint Config(int register, int size) => _vcpu.Io.ConfigRead(0, slot, 0, register, size);

    public void Config(int register, int size, uint value) => _vcpu.Io.ConfigWrite(0, slot, 0, register, size, value);

    public ulong Common(int register, int size) => _vcpu.Io.MmioRead(_common + (ulong)register, size);

    public void Common(int register, int size, ulong value) => _vcpu.Io.MmioWrite(_common + (ulong)register, size, value);

    public VirtioStatus Status => (VirtioStatus)Common(DeviceStatus, 1);

    public ulong DeviceConfig(int offset, int size) => _vcpu.Io.MmioRead(_device + (ulong)offset, size);

    public void WriteDeviceConfig(int offset, int size, ulong value) => _vcpu.Io.MmioWrite(_device + (ulong)offset, size, value);

    public byte Isr => (byte)_vcpu.Io.MmioRead(_isr, 1);

    /// <summary>Reads identity, BAR and capabilities.</summary>
    public void Probe()
    {
        Assert.Equal(0x1af4u, Config(PciConfig.VendorId, 2));
        Config(PciConfig.Command, 2, PciConfig.CommandMemory | PciConfig.CommandMaster);
        _bar = Config(PciConfig.Bar0, 4) & ~0xful;
        Assert.NotEqual(0ul, _bar);
        for (int at = (int)Config(PciConfig.CapabilityPointer, 1); at != 0; at = (int)Config(at + 1, 1))
        {
            if (Config(at, 1) == PciConfig.CapabilityMsix)
            {
                EnableMsix(at);
                continue;
            }

            ulong start = _bar + Config(at + 8, 4);
            switch (Config(at + 3, 1))
            {
                case CapCommon:
                    _common = start;
                    break;
                case CapNotify:
                    _notify = start;
                    _multiplier = Config(at + 16, 4);
                    break;
                case CapIsr:
                    _isr = start;
                    break;
                case CapDevice:
                    _device = start;
                    break;
            }
        }
    }

    /// <summary>All of a driver's initialization.</summary>
    public void BringUp(TimeSpan deadline, int queues = 2, ulong features = 1UL << 32)
    {
        Probe();
        Reset(deadline);
        Common(DeviceStatus, 1, 3);
        Common(DeviceFeatureSelect, 4, 0);
        Features = Common(DeviceFeature, 4);
        Common(DeviceFeatureSelect, 4, 1);
        Features |= Common(DeviceFeature, 4) << 32;
        Common(DriverFeatureSelect, 4, 0);
        Common(DriverFeature, 4, (uint)features);
        Common(DriverFeatureSelect, 4, 1);
        Common(DriverFeature, 4, features >> 32);
        Common(DeviceStatus, 1, 0xb);
        Assert.Equal(0xb, (int)Status);
        Common(ConfigMsixVector, 2, 0);
        Assert.Equal(0ul, Common(ConfigMsixVector, 2));
        for (int queue = 0; queue < queues; queue++)
            SetUp(queue);

        Common(DeviceStatus, 1, 0xf);
    }

    /// <summary>Writes status 0 and polls until it reads so, as a driver does.</summary>
    public void Reset(TimeSpan deadline)
    {
        Common(DeviceStatus, 1, 0);
        Poll(deadline, () => Status == VirtioStatus.None, "the device is reset");
    }

    /// <summary>A fresh ring for a queue.</summary>
    public void SetUp(int queue)
    {
        EchoRing ring = _rings[queue];
        ring.Clear();
        Common(QueueSelect, 2, (ulong)queue);
        Assert.True(Common(QueueSize, 2) >= EchoRing.Size);
        Common(QueueSize, 2, EchoRing.Size);
        Common(QueueMsixVector, 2, (ulong)queue + 1);
        Assert.Equal((ulong)queue + 1, Common(QueueMsixVector, 2));
        Common(QueueDesc, 8, ring.Descriptors);
        Common(QueueDriver, 8, ring.Driver);
        Common(QueueDevice, 8, ring.Device);
        Common(QueueEnable, 2, 1);
        Assert.Equal(1ul, Common(QueueEnable, 2));
    }

    /// <summary>Puts a request into a queue and rings its bell.</summary>
    public void Send(int queue, ReadOnlySpan<byte> data)
    {
        _rings[queue].Push(data);
        Kick(queue);
    }

    public void Kick(int queue)
    {
        Common(QueueSelect, 2, (ulong)queue);
        _vcpu.Io.MmioWrite(_notify + Common(QueueNotifyOff, 2) * _multiplier, 2, (ulong)queue);
    }

    /// <summary>Waits for the queue's interrupt and for the answer to the oldest request.</summary>
    public byte[] Receive(int queue, TimeSpan deadline)
    {
        Poll(deadline, () => _rings[queue].HasAnswer, $"an answer in queue {queue}", Vector(queue));
        return _rings[queue].Pop();
    }

    /// <summary>There and back, compared.</summary>
    public void Echo(int queue, TimeSpan deadline)
    {
        byte[] data = new byte[200];
        Random.Shared.NextBytes(data);
        Send(queue, data);
        Assert.Equal(data, Receive(queue, deadline));
    }

    /// <summary>Waits for one interrupt.</summary>
    public void WaitForInterrupt(byte vector, TimeSpan deadline)
    {
        Assert.True(_vcpu.Apic.WaitTake(deadline, out byte taken), $"no interrupt with vector 0x{vector:x}");
        Assert.Equal(vector, taken);
    }

    private void Poll(TimeSpan deadline, Func<bool> condition, string what, byte vector = 0)
    {
        long end = Environment.TickCount64 + (long)deadline.TotalMilliseconds;
        while (!condition())
        {
            Assert.True(Environment.TickCount64 < end, $"{what}: not within {deadline.TotalSeconds} s");
            // An answer may have been seen before its interrupt, which then comes while another is waited for.
            if (vector == 0)
                Thread.Yield();
            else
                Assert.True(_vcpu.Apic.WaitTake(deadline, out _), $"{what}: no interrupt");
        }
    }

    private void EnableMsix(int capability)
    {
        int vectors = (int)(Config(capability + 2, 2) & 0x7ff) + 1;
        ulong table = _bar + (Config(capability + 4, 4) & ~7u);
        for (int i = 0; i < vectors; i++)
        {
            ulong entry = table + 16 * (ulong)i;
            _vcpu.Io.MmioWrite(entry, 4, 0xfee0_0000);
            _vcpu.Io.MmioWrite(entry + 4, 4, 0);
            _vcpu.Io.MmioWrite(entry + 8, 4, i == 0 ? ConfigVector : Vector(i - 1));
            _vcpu.Io.MmioWrite(entry + 12, 4, 0);
        }

        Config(capability + 2, 2, 0x8000);
    }
}
