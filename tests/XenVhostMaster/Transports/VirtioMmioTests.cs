using XenVhostMaster.Transports;
using XenVhostMaster.Transports.Mmio;

namespace XenVhostMaster.Tests.Transports;

public class VirtioMmioTests
{
    private readonly FakeControl _control = new();
    private readonly FakeLine _line = new();
    private readonly VirtioDeviceModel _model;
    private readonly VirtioMmioDevice _device;

    public VirtioMmioTests()
    {
        _model = new VirtioDeviceModel(2, 2, 256, PciRig.BackendFeatures, accessPlatform: false, _control);
        _control.Model = _model;
        _model.SetConfig([1, 2, 3, 4, 5, 6, 7, 8]);
        _device = new VirtioMmioDevice(_model, _line);
    }

    private uint Read(int register) => (uint)_device.Read((ulong)register, 4);

    private void Write(int register, uint value) => _device.Write((ulong)register, 4, value);

    private void BringUp()
    {
        Write(VirtioMmioRegister.Status, 0);
        Write(VirtioMmioRegister.Status, 3);
        for (uint word = 0; word < 2; word++)
        {
            Write(VirtioMmioRegister.DeviceFeaturesSel, word);
            Write(VirtioMmioRegister.DriverFeaturesSel, word);
            Write(VirtioMmioRegister.DriverFeatures, Read(VirtioMmioRegister.DeviceFeatures));
        }

        Write(VirtioMmioRegister.Status, 0xb);
        Assert.Equal(0xbu, Read(VirtioMmioRegister.Status));
        for (uint queue = 0; queue < 2; queue++)
        {
            Write(VirtioMmioRegister.QueueSel, queue);
            Assert.Equal(256u, Read(VirtioMmioRegister.QueueSizeMax));
            Write(VirtioMmioRegister.QueueSize, 64);
            Write(VirtioMmioRegister.QueueDescLow, 0x1000 * (queue + 1));
            Write(VirtioMmioRegister.QueueDescHigh, 1);
            Write(VirtioMmioRegister.QueueReady, 1);
            Assert.Equal(1u, Read(VirtioMmioRegister.QueueReady));
        }

        Write(VirtioMmioRegister.Status, 0xf);
    }

    [Fact]
    public void Identity_Read_IsAModernBlockDevice()
    {
        Assert.Equal(0x74726976u, Read(VirtioMmioRegister.MagicValue));
        Assert.Equal(2u, Read(VirtioMmioRegister.Version));
        Assert.Equal(2u, Read(VirtioMmioRegister.DeviceId));
        Assert.Equal(0u, (uint)_device.Read(0, 2));
    }

    [Fact]
    public void DriverOk_StartsTheRingsAsSetUp()
    {
        BringUp();

        Assert.Equal(1, _control.Starts);
        Assert.Equal((64, 0x1_0000_2000ul), (_model.Queue(1).Size, _model.Queue(1).Descriptors));
        Write(VirtioMmioRegister.QueueNotify, 0x8001_0001);
        Assert.Equal(1, _control.LastKick);
        Write(VirtioMmioRegister.QueueNotify, 2);
        Assert.Equal(1, _control.Kicks);
    }

    [Fact]
    public void Causes_AreKeptApartAndEachAcknowledged()
    {
        BringUp();
        _model.QueueUsed(0);
        Assert.Equal(1u, Read(VirtioMmioRegister.InterruptStatus));
        _model.SetConfig([9]);
        Assert.Equal(3u, Read(VirtioMmioRegister.InterruptStatus));
        Assert.Equal(1, _line.Edges);

        // The driver saw the first cause only: the second must interrupt again, also where edges count.
        Write(VirtioMmioRegister.InterruptAck, 1);
        Assert.Equal((true, 2, 2u), (_line.Level, _line.Edges, Read(VirtioMmioRegister.InterruptStatus)));
        Write(VirtioMmioRegister.InterruptAck, 2);
        Assert.False(_line.Level);
        Write(VirtioMmioRegister.InterruptAck, 3);
        Assert.False(_line.Level);
    }

    [Fact]
    public void ConfigGeneration_ChangesWithTheConfiguration()
    {
        uint before = Read(VirtioMmioRegister.ConfigGeneration);
        _model.SetConfig([1, 2, 3, 4, 5, 6, 7, 8]);
        Assert.Equal(before, Read(VirtioMmioRegister.ConfigGeneration));
        _model.SetConfig([8]);
        Assert.NotEqual(before, Read(VirtioMmioRegister.ConfigGeneration));
        Assert.Equal(8ul, _device.Read(VirtioMmioRegister.Config, 1));
        Assert.False(_line.Level);
    }

    [Fact]
    public void Reset_WithACausePending_LowersTheLine()
    {
        BringUp();
        _model.QueueUsed(0);
        Write(VirtioMmioRegister.Status, 0);
        Assert.True(_control.ResetPending);
        Assert.NotEqual(0u, Read(VirtioMmioRegister.Status));
        _control.FinishReset();

        Assert.Equal((0u, false, 0u), (Read(VirtioMmioRegister.Status), _line.Level, Read(VirtioMmioRegister.QueueReady)));
        BringUp();
    }

    [Fact]
    public void QueueReset_IsDoneWhenTheBackEndSaysSo()
    {
        BringUp();
        Write(VirtioMmioRegister.QueueSel, 1);
        Write(VirtioMmioRegister.QueueReset, 1);

        Assert.Equal((1u, 1u), (Read(VirtioMmioRegister.QueueReset), Read(VirtioMmioRegister.QueueReady)));
        _control.FinishQueueReset();
        Assert.Equal((0u, 0u), (Read(VirtioMmioRegister.QueueReset), Read(VirtioMmioRegister.QueueReady)));
    }

    [Fact]
    public void SharedMemory_IsAbsent()
    {
        Write(VirtioMmioRegister.ShmSel, 1);
        Assert.Equal(uint.MaxValue, Read(VirtioMmioRegister.ShmLenLow));
        Assert.Equal(uint.MaxValue, Read(VirtioMmioRegister.ShmLenHigh));
    }

    [Fact]
    public void AccessPlatform_Required_IsOfferedAndInsistedOn()
    {
        var control = new FakeControl();
        var model = new VirtioDeviceModel(2, 1, 256, PciRig.BackendFeatures, accessPlatform: true, control);
        var device = new VirtioMmioDevice(model, new FakeLine());
        device.Write(VirtioMmioRegister.Status, 4, 3);
        device.Write(VirtioMmioRegister.DriverFeaturesSel, 4, 1);
        device.Write(VirtioMmioRegister.DriverFeatures, 4, 1);
        device.Write(VirtioMmioRegister.Status, 4, 0xb);
        Assert.Equal(3ul, device.Read(VirtioMmioRegister.Status, 4));

        device.Write(VirtioMmioRegister.DriverFeatures, 4, 3);
        device.Write(VirtioMmioRegister.Status, 4, 0xb);
        Assert.Equal(0xbul, device.Read(VirtioMmioRegister.Status, 4));
    }
}
