using static XenVhostMaster.Transports.Pci.VirtioPciLayout;

namespace XenVhostMaster.Tests.Transports;

public class MsixTests
{
    private const uint Control = 0x98 + 2;

    private static PciRig Running()
    {
        var rig = new PciRig();
        rig.Config(Control, 2, 0x8000);
        for (int vector = 0; vector < 3; vector++)
        {
            rig.Write(Table + 16 * vector, 4, 0xfee0_1000);
            rig.Write(Table + 16 * vector + 4, 4, 0x1200);
            rig.Write(Table + 16 * vector + 8, 4, 0x40u + (uint)vector);
            rig.Write(Table + 16 * vector + 12, 4, 0);
        }

        rig.Write(ConfigMsixVector, 2, 0);
        rig.BringUp(firstVector: 1);
        rig.Write(ConfigMsixVector, 2, 0);
        return rig;
    }

    [Fact]
    public void Capability_Read_HasAVectorPerQueueAndOneMore()
    {
        var rig = new PciRig(queues: 4);

        Assert.Equal(4u, rig.Config(Control, 2) & 0x7ff);
        Assert.Equal((uint)Table, rig.Config(Control + 2, 4));
        Assert.Equal((uint)Pending, rig.Config(Control + 6, 4));
    }

    [Fact]
    public void QueueUsed_InjectsTheQueuesMessageUnchanged()
    {
        PciRig rig = Running();
        rig.Model.QueueUsed(1);
        rig.Model.SetConfig([1]);

        Assert.Equal([(0x1200_fee0_1000ul, 0x42u), (0x1200_fee0_1000ul, 0x40u)], rig.Sink.Messages);
        Assert.Equal(0ul, rig.Read(Isr, 1));
    }

    [Fact]
    public void Vector_Masked_GoesPendingAndOutWhenUnmasked()
    {
        PciRig rig = Running();
        rig.Write(Table + 16 + 12, 4, 1);
        rig.Model.QueueUsed(0);
        rig.Model.QueueUsed(0);

        Assert.Empty(rig.Sink.Messages);
        Assert.Equal(2ul, rig.Read(Pending, 8));
        rig.Write(Table + 16 + 12, 4, 0);
        Assert.Equal((0x1200_fee0_1000ul, 0x41u), Assert.Single(rig.Sink.Messages));
        Assert.Equal(0ul, rig.Read(Pending, 8));
    }

    [Fact]
    public void Function_Masked_HoldsEveryVectorBack()
    {
        PciRig rig = Running();
        rig.Config(Control, 2, 0xc000);
        rig.Model.QueueUsed(0);
        rig.Model.QueueUsed(1);
        Assert.Empty(rig.Sink.Messages);

        rig.Config(Control, 2, 0x8000);
        Assert.Equal(2, rig.Sink.Messages.Count);
    }

    [Fact]
    public void Vector_ThatIsAnEventChannelOfXen_IsNeverMasked()
    {
        PciRig rig = Running();
        rig.Write(Table + 16 + 12, 4, 1);
        rig.Write(Table + 16 + 4, 4, 0x1100);
        rig.Write(Table + 16, 4, 0xfee5_0000);
        rig.Write(Table + 16 + 8, 4, 0x4300);
        rig.Model.QueueUsed(0);

        Assert.Equal((0x1100_fee5_0000ul, 0x4300u), Assert.Single(rig.Sink.Messages));
    }

    [Fact]
    public void Vector_BeyondTheTable_ReadsBackAsNone()
    {
        PciRig rig = Running();
        rig.Write(QueueSelect, 2, 0);
        rig.Write(QueueMsixVector, 2, 3);

        Assert.Equal((ulong)NoVector, rig.Read(QueueMsixVector, 2));
        rig.Model.QueueUsed(0);
        Assert.Empty(rig.Sink.Messages);
    }

    [Fact]
    public void Table_ReadBackAtEightBytes_IsWhatWasWritten()
    {
        PciRig rig = Running();
        rig.Write(Table + 32, 8, 0x5_fee0_0000);

        Assert.Equal(0x5_fee0_0000ul, rig.Read(Table + 32, 8));
        Assert.Equal(0ul, rig.Read(Table + 34, 2));
        Assert.Equal(0ul, rig.Read(Table + 48, 4));
        rig.Write(Table + 44, 8, ulong.MaxValue);
        Assert.Equal(0x42ul, rig.Read(Table + 40, 4));
    }

    [Fact]
    public void Reset_ForgetsVectorsAndWhatIsPending()
    {
        PciRig rig = Running();
        rig.Write(Table + 16 + 12, 4, 1);
        rig.Model.QueueUsed(0);
        rig.Write(DeviceStatus, 1, 0);
        rig.Control.FinishReset();

        rig.Write(Table + 16 + 12, 4, 0);
        Assert.Empty(rig.Sink.Messages);
        Assert.Equal((ulong)NoVector, rig.Read(ConfigMsixVector, 2));
    }
}
