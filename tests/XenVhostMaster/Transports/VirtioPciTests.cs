using XenVhostMaster.Transports;
using XenVhostMaster.Transports.Pci;
using static XenVhostMaster.Transports.Pci.VirtioPciLayout;

namespace XenVhostMaster.Tests.Transports;

public class VirtioPciTests
{
    [Fact]
    public void Header_OfABlockDevice_NamesAModernVirtioFunction()
    {
        var rig = new PciRig();

        Assert.Equal(0x1042_1af4u, rig.Config(0x00, 4));
        Assert.Equal(0x018000_01u, rig.Config(0x08, 4));
        Assert.Equal(0u, rig.Config(0x0e, 1));
        Assert.Equal(0x1042_1af4u, rig.Config(0x2c, 4));
        Assert.Equal(0x10u, rig.Config(0x06, 2));
    }

    [Fact]
    public void Capabilities_Walked_AreTheFiveOfVirtioAndMsix()
    {
        var rig = new PciRig();
        var types = new List<uint>();
        for (uint at = rig.Config(0x34, 1); at != 0; at = rig.Config(at + 1, 1))
        {
            Assert.True(types.Count < 10, "the chain ends");
            types.Add(rig.Config(at, 1) == 0x11 ? 0x11 : rig.Config(at + 3, 1));
        }

        Assert.Equal([CapCommon, CapNotify, CapIsr, CapDevice, CapPciConfig, 0x11u], types);
    }

    [Fact]
    public void Bar_WrittenWithOnes_TellsItsSize()
    {
        var rig = new PciRig();
        rig.Config(PciConfig.Command, 2, 0);
        rig.Config(0x10, 4, uint.MaxValue);

        Assert.Equal(~(BarSize - 1), rig.Config(0x10, 4));
        for (uint register = 0x14; register < 0x28; register += 4)
        {
            rig.Config(register, 4, uint.MaxValue);
            Assert.Equal(0u, rig.Config(register, 4));
        }
    }

    [Fact]
    public void Bar_Moved_IsClaimedThereAndReleasedWhereItWas()
    {
        var rig = new PciRig();
        rig.Config(0x10, 4, 0xfd00_0000);

        Assert.Equal((0xfd00_0000ul, 0xfd00_fffful), Assert.Single(rig.Sink.Claims));
        Assert.False(rig.Bus.TryRead(PciRig.Bar, 4, out ulong value));
        Assert.Equal(ulong.MaxValue, value);
        Assert.True(rig.Bus.TryRead(0xfd00_0000 + NumQueues, 2, out value));
        Assert.Equal(2ul, value);
    }

    [Theory]
    [InlineData(0x0010_0000u)]
    [InlineData(0xfec0_0000u)]
    [InlineData(0xffff_0000u)]
    [InlineData(0u)]
    public void Bar_MovedOutOfTheWindow_IsNotClaimed(uint address)
    {
        var rig = new PciRig();
        rig.Config(0x10, 4, address);

        Assert.Empty(rig.Sink.Claims);
        rig.Config(0x10, 4, 0xfc00_0000);
        Assert.Single(rig.Sink.Claims);
    }

    [Fact]
    public void Bar_OverAnotherDevices_WaitsUntilThatMoves()
    {
        var rig = new PciRig();
        var control = new FakeControl();
        var model = new VirtioDeviceModel(1, 1, 256, 0, accessPlatform: false, control);
        var second = new VirtioPciFunction(model, new VirtioPciOptions(0x020000, 0xfc01_0000, false), rig.Sink);
        rig.Bus.Add(2, second);

        rig.Bus.WriteConfig(2 << 3, 0x10, 4, (uint)PciRig.Bar);
        Assert.Null(second.MappedAt);
        Assert.Equal(2ul, rig.Read(NumQueues, 2));

        rig.Config(0x10, 4, 0xfd00_0000);
        Assert.Equal(PciRig.Bar, second.MappedAt);
        Assert.True(rig.Bus.TryRead(PciRig.Bar + NumQueues, 2, out ulong queues));
        Assert.Equal(1ul, queues);
    }

    [Fact]
    public void Command_WithoutMemory_StopsAnswering()
    {
        var rig = new PciRig();
        rig.Config(PciConfig.Command, 2, 0);

        Assert.Empty(rig.Sink.Claims);
        Assert.False(rig.Bus.TryWrite(PciRig.Bar, 4, 0));
        rig.Config(PciConfig.Command, 2, 6);
        Assert.Single(rig.Sink.Claims);
    }

    [Fact]
    public void Config_OfAnEmptySlotOrFunctionOne_ReadsAsOnes()
    {
        var rig = new PciRig();

        Assert.Equal(uint.MaxValue, rig.Bus.ReadConfig(5 << 3, 0, 4));
        Assert.Equal(0xffffu, rig.Bus.ReadConfig(PciRig.Bdf | 1, 0, 2));
        Assert.Equal(uint.MaxValue, rig.Bus.ReadConfig(0x100 | PciRig.Bdf, 0, 4));
        Assert.Equal(0xffu, rig.Config(0x400, 1));
    }

    [Fact]
    public void HostBridge_Read_IsA440Fx()
    {
        var bus = new PciBus(new FakePciSink(), 0, uint.MaxValue);
        bus.Add(0, new HostBridge());

        Assert.Equal(0x1237_8086u, bus.ReadConfig(0, 0, 4));
        Assert.Equal(0x0600u, bus.ReadConfig(0, 0x0a, 2));
        bus.WriteConfig(0, 0, 4, 0);
        Assert.Equal(0x1237_8086u, bus.ReadConfig(0, 0, 4));
    }

    [Fact]
    public void Features_Offered_AreTheBackEndsThatTheTransportCanCarry()
    {
        var rig = new PciRig();

        Assert.Equal(1UL << 5 | 1UL << 28 | 1UL << 29 | 1UL << 32 | 1UL << 40 | 1UL << 55, rig.Offered());
        rig.Write(DeviceFeatureSelect, 4, 2);
        Assert.Equal(0ul, rig.Read(DeviceFeature, 4));
    }

    [Fact]
    public void FeaturesOk_WithAFeatureNotOffered_IsRefused()
    {
        var rig = new PciRig();
        rig.Negotiate(1UL << 32 | 1UL << 3);

        Assert.Equal(VirtioStatus.Acknowledge | VirtioStatus.Driver, rig.Status);
        rig.Write(DeviceStatus, 1, 0xf);
        Assert.Equal(0, rig.Control.Starts);
    }

    [Fact]
    public void FeaturesOk_OfALegacyDriver_IsRefused()
    {
        var rig = new PciRig();
        rig.Negotiate(1UL << 28);

        Assert.False((rig.Status & VirtioStatus.FeaturesOk) != 0);
    }

    [Fact]
    public void DriverOk_StartsTheRings()
    {
        var rig = new PciRig();
        rig.BringUp();

        Assert.Equal(1, rig.Control.Starts);
        QueueState queue = rig.Model.Queue(1);
        Assert.Equal((true, (ushort)128, 0x20_0000ul, 0x20_1000ul, 0x20_2000ul), (queue.Enabled, queue.Size, queue.Descriptors, queue.Driver, queue.Device));
    }

    [Fact]
    public void StatusZero_WhileRunning_ReadsZeroOnlyWhenTheBackEndHasStopped()
    {
        var rig = new PciRig();
        rig.BringUp();
        rig.Write(DeviceStatus, 1, 0);

        Assert.NotEqual(VirtioStatus.None, rig.Status);
        rig.Write(DeviceStatus, 1, 1);
        rig.Write(QueueSelect, 2, 1);
        rig.Write(QueueDesc, 4, 0xdead_0000);
        Assert.Equal(0x20_0000ul, rig.Model.Queue(1).Descriptors);

        rig.Control.FinishReset();
        Assert.Equal(VirtioStatus.None, rig.Status);
        Assert.False(rig.Model.Queue(1).Enabled);
        rig.BringUp();
        Assert.Equal(2, rig.Control.Starts);
    }

    [Fact]
    public void StatusZero_BeforeAnythingStarted_IsImmediate()
    {
        var rig = new PciRig();
        rig.Negotiate(rig.Offered());
        rig.Write(DeviceStatus, 1, 0);

        Assert.Equal((VirtioStatus.None, 0), (rig.Status, rig.Control.Resets));
    }

    [Fact]
    public void Notify_OfARunningQueue_IsOneKick()
    {
        var rig = new PciRig();
        rig.BringUp(queues: 2);
        rig.Write(Notify + 4, 2, 1);

        Assert.Equal((1, 1), (rig.Control.Kicks, rig.Control.LastKick));
        rig.Write(Notify + 8, 2, 2);
        rig.Write(Notify + 0xffc, 4, 0);
        Assert.Equal(1, rig.Control.Kicks);
    }

    [Fact]
    public void Notify_OfAQueueNotEnabled_IsIgnored()
    {
        var rig = new PciRig();
        rig.BringUp(queues: 1);
        rig.Write(Notify + 4, 2, 1);

        Assert.Equal(0, rig.Control.Kicks);
    }

    [Fact]
    public void Registers_ReadAndKicked_AllocateNothing()
    {
        var rig = new PciRig();
        rig.BringUp();
        Drive(rig, 100);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Drive(rig, 10_000);

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        static void Drive(PciRig rig, int times)
        {
            for (int i = 0; i < times; i++)
            {
                rig.Bus.TryWrite(PciRig.Bar + Notify, 2, 0);
                rig.Bus.TryRead(PciRig.Bar + QueueDesc, 8, out _);
                rig.Bus.TryWrite(PciRig.Bar + DeviceConfig + 32, 1, (ulong)i);
                rig.Bus.TryRead(PciRig.Bar + DeviceConfig, 8, out _);
                rig.Bus.WriteConfig(PciRig.Bdf, 0x3c, 1, (uint)i);
            }
        }
    }

    [Fact]
    public void QueueReset_EndsWhenTheBackEndGaveTheQueueBack()
    {
        var rig = new PciRig();
        rig.BringUp(firstVector: NoVector);
        rig.Write(QueueSelect, 2, 1);
        rig.Write(QueueReset, 2, 1);

        Assert.Equal(1ul, rig.Read(QueueReset, 2));
        Assert.Equal([1], rig.Control.QueuesToReset);
        rig.Control.FinishQueueReset();
        Assert.Equal(0ul, rig.Read(QueueReset, 2));
        Assert.Equal(0ul, rig.Read(QueueEnable, 2));

        rig.SetUpQueue(1);
        Assert.Equal([1], rig.Control.StartedQueues);
    }

    [Fact]
    public void QueueSelect_BeyondTheLast_ReadsSizeZero()
    {
        var rig = new PciRig();
        rig.Write(QueueSelect, 2, 2);

        Assert.Equal(0ul, rig.Read(QueueSize, 2));
        rig.Write(QueueEnable, 2, 1);
        rig.Write(QueueMsixVector, 2, 0);
        Assert.Equal((ulong)NoVector, rig.Read(QueueMsixVector, 2));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    [InlineData(512)]
    public void QueueSize_ThatNoRingCanHave_IsIgnored(ushort size)
    {
        var rig = new PciRig();
        rig.Write(QueueSize, 2, size);

        Assert.Equal(256ul, rig.Read(QueueSize, 2));
    }

    [Fact]
    public void DeviceConfig_AtAnyWidth_IsTheBackEnds()
    {
        var rig = new PciRig();

        Assert.Equal(0x0807060504030201ul, rig.Read(DeviceConfig, 8));
        Assert.Equal(0x04ul, rig.Read(DeviceConfig + 3, 1));
        Assert.Equal(0x3cul, rig.Read(DeviceConfig + 59, 4));
        Assert.Equal(0ul, rig.Read(DeviceConfig + 60, 4));
    }

    [Fact]
    public void DeviceConfig_Written_ReachesTheControlPlaneAsOnePiece()
    {
        var rig = new PciRig();
        rig.Write(DeviceConfig + 32, 1, 0);
        rig.Write(DeviceConfig + 34, 2, 0xabcd);
        byte[] data = new byte[256];

        Assert.Equal(4, rig.Model.TakeConfigWrites(data, out int offset));
        Assert.Equal((32, 0x00, 0xcd, 0xab), (offset, data[0], data[2], data[3]));
        Assert.Equal(0, rig.Model.TakeConfigWrites(data, out _));
    }

    [Fact]
    public void ConfigChange_RaisesGenerationAndInterrupt()
    {
        var rig = new PciRig(pin: true);
        rig.BringUp();
        ulong before = rig.Read(ConfigGeneration, 1);
        rig.Model.SetConfig([9, 9]);

        Assert.NotEqual(before, rig.Read(ConfigGeneration, 1));
        Assert.Equal(0x0909ul, rig.Read(DeviceConfig, 4));
        Assert.True(rig.Sink.Pins[1]);
        Assert.Equal(2ul, rig.Read(Isr, 1));
        Assert.False(rig.Sink.Pins[1]);
    }

    [Fact]
    public void Pin_WithCauses_IsUpUntilIsrIsRead()
    {
        var rig = new PciRig(pin: true);
        rig.BringUp();
        rig.Model.QueueUsed(0);

        Assert.True(rig.Sink.Pins[1]);
        Assert.Equal(0x18u, rig.Config(0x06, 2));
        Assert.Equal(1ul, rig.Read(Isr, 1));
        Assert.False(rig.Sink.Pins[1]);
        Assert.Equal(0ul, rig.Read(Isr, 1));
    }

    [Fact]
    public void Pin_DisabledByCommand_StaysDown()
    {
        var rig = new PciRig(pin: true);
        rig.BringUp();
        rig.Config(PciConfig.Command, 2, PciConfig.CommandMemory | PciConfig.CommandInterruptDisable);
        rig.Model.QueueUsed(0);
        Assert.False(rig.Sink.Pins.GetValueOrDefault(1));

        rig.Config(PciConfig.Command, 2, PciConfig.CommandMemory);
        Assert.True(rig.Sink.Pins[1]);
    }

    [Fact]
    public void Window_InConfigSpace_ReachesTheBar()
    {
        var rig = new PciRig();
        rig.Config(0x84 + 8, 4, NumQueues);
        rig.Config(0x84 + 12, 4, 2);
        Assert.Equal(2u, rig.Config(0x84 + 16, 2));

        rig.Config(0x84 + 8, 4, DeviceStatus);
        rig.Config(0x84 + 12, 4, 1);
        rig.Config(0x84 + 16, 1, 1);
        Assert.Equal(VirtioStatus.Acknowledge, rig.Status);

        rig.Config(0x84 + 8, 4, BarSize);
        Assert.Equal(0u, rig.Config(0x84 + 16, 1));
        rig.Config(0x84 + 4, 1, 3);
        rig.Config(0x84 + 16, 1, 0xff);
    }

    [Fact]
    public void Fail_OfARunningDevice_AsksForAReset()
    {
        var rig = new PciRig(pin: true);
        rig.BringUp();
        rig.Model.Fail();

        Assert.True((rig.Status & VirtioStatus.NeedsReset) != 0);
        Assert.Equal(2ul, rig.Read(Isr, 1));
    }

    // Found by the register fuzz: an error of a ring that was heard after the reset left the status at 0x40, and a driver that
    // polls for 0 would have waited for ever.
    [Fact]
    public void Fail_AfterAReset_LeavesTheStatusAtZero()
    {
        var rig = new PciRig(pin: true);
        rig.BringUp();
        rig.Write(DeviceStatus, 1, 0);
        rig.Model.Fail();
        rig.Control.FinishReset();
        rig.Model.Fail();

        Assert.Equal(VirtioStatus.None, rig.Status);
        Assert.Equal(0ul, rig.Read(Isr, 1));
    }

    [Fact]
    public void Reoffer_WithoutWhatTheDriverTook_IsRefused()
    {
        var rig = new PciRig();
        rig.BringUp();

        Assert.False(rig.Model.Reoffer(PciRig.BackendFeatures & ~(1UL << 5)));
        Assert.True(rig.Model.Reoffer(PciRig.BackendFeatures | 1UL << 6));
    }
}
