using XenModel.Domains;
using XenModel.Ioreq;
using static XenVhostMaster.Transports.Mmio.VirtioMmioRegister;

namespace XenVhostMaster.Tests.Domains;

/// <summary>A guest's driver of an echo device over virtio-mmio, as Linux on Arm has it: a wired interrupt, acknowledged by cause.</summary>
internal sealed class MmioDriver(Domain guest, ulong start, uint irq)
{
    private readonly VcpuIo _io = guest.Vcpus[0].Io;
    private readonly EchoRing _ring = new(guest, 4);

    public uint Read(int register) => (uint)_io.MmioRead(start + (ulong)register, 4);

    public void Write(int register, uint value) => _io.MmioWrite(start + (ulong)register, 4, value);

    public void BringUp()
    {
        Assert.Equal(0x74726976u, Read(MagicValue));
        Write(Status, 0);
        Write(Status, 3);
        Write(DriverFeaturesSel, 1);
        Write(DriverFeatures, 1);
        Write(Status, 0xb);
        Assert.Equal(0xbu, Read(Status));
        _ring.Clear();
        Write(QueueSel, 0);
        Write(QueueSize, EchoRing.Size);
        foreach ((int register, ulong address) in new[] { (QueueDescLow, _ring.Descriptors), (QueueDriverLow, _ring.Driver), (QueueDeviceLow, _ring.Device) })
        {
            Write(register, (uint)address);
            Write(register + 4, (uint)(address >> 32));
        }

        Write(QueueReady, 1);
        Write(Status, 0xf);
    }

    /// <summary>There and back, by the interrupt line.</summary>
    public void Echo(TimeSpan deadline)
    {
        byte[] data = new byte[100];
        Random.Shared.NextBytes(data);
        _ring.Push(data);
        Write(QueueNotify, 0);
        long end = Environment.TickCount64 + (long)deadline.TotalMilliseconds;
        while (!guest.Interrupts.SpiLevel(irq))
        {
            Assert.True(Environment.TickCount64 < end, "no interrupt");
            Thread.Yield();
        }

        Assert.Equal(1u, Read(InterruptStatus));
        Write(InterruptAck, 1);
        Assert.False(guest.Interrupts.SpiLevel(irq));
        Assert.True(_ring.HasAnswer);
        Assert.Equal(data, _ring.Pop());
    }
}
