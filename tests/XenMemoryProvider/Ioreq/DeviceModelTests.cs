using System.Runtime.InteropServices;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Ioreq;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Tests.Fakes;
using Xunit;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Tests.Ioreq;

/// <summary>Every operation puts its arguments where the header says.</summary>
public sealed class DeviceModelTests : IDisposable
{
    private readonly FakeXen _xen = new();
    private readonly DeviceModel _model;
    private readonly List<byte[]> _extras = [];
    private byte[] _sent = [];
    private int _answer;

    public DeviceModelTests()
    {
        _xen.OnDmOp = (ushort domid, ref DmOp.Call call, Span<byte> extra) =>
        {
            Assert.Equal(9, domid);
            _sent = MemoryMarshal.AsBytes(new ReadOnlySpan<DmOp.Call>(in call)).ToArray();
            _extras.Add(extra.ToArray());
            call.NrVcpus.Vcpus = 4;
            return _answer;
        };
        _model = new DeviceModel(_xen.OpenPrivcmd(), 9);
    }

    public void Dispose() => _xen.Dispose();

    [Fact]
    public void Operations_All_HaveTheirNumberAndArguments()
    {
        Sends(20, [], () => Assert.Equal(4, _model.NrVcpus()));
        Sends(1, [2], () => _model.CreateIoreqServer(DmOp.BufferedIoreq.Atomic));
        Sends(2, [5, 0, 1], () => _model.GetIoreqServerInfo(5));
        Sends(2, [5, 0, 0], () => _model.GetIoreqServerInfo(5, withFrames: true));
        Sends(3, [5, 0, 0, 0, 1, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x1f], () => _model.MapIoRangeToIoreqServer(5, DmOp.IoRangeType.Memory, 0x10, 0x1f));
        Sends(4, [5, 0, 0, 0, 2, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x10], () => _model.UnmapIoRangeFromIoreqServer(5, DmOp.IoRangeType.Pci, 0x10, 0x10));
        Sends(5, [5, 0, 1], () => _model.SetIoreqServerState(5, true));
        Sends(6, [5, 0], () => _model.DestroyIoreqServer(5));
        Sends(7, [9, 0, 0, 0, 0, 0, 0, 0, 0x34, 0x12], () => _model.TrackDirtyVram(0x1234, 9, new byte[2]));
        Sends(8, [0, 0, 0, 31, 3, 1], () => _model.SetPciIntxLevel(31, 3, true));
        Sends(9, [15, 1], () => _model.SetIsaIrqLevel(15, true));
        Sends(10, [3, 11], () => _model.SetPciLinkRoute(3, 11));
        Sends(11, [1], () => _model.ModifiedMemory([new DmOp.ModifiedMemoryExtent { Nr = 2, FirstPfn = 3 }]));
        Sends(12, [2, 0, 0, 0, 4, 0, 0, 0, 0x34, 0x12], () => _model.SetMemType(HvmOp.MemType.IoreqServer, 0x1234, 2));
        Sends(13, [1, 0, 0, 0, 14, 3, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x78], () => _model.InjectEvent(1, DmOp.EventType.HwExc, 14, 0, 2, 0x78));
        Sends(14, [0x41, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xe0, 0xfe, 1], () => _model.InjectMsi(0x1_fee0_0000, 0x41));
        Sends(15, [5, 0, 4, 0, 2], () => _model.MapMemTypeToIoreqServer(5, claim: true));
        Sends(16, [3], () => _model.RemoteShutdown((ShutdownReason)3));
        Sends(17, [2, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x20], () => _model.RelocateMemory(0x10, 0x20, 2));
        Sends(18, [0x10, 0, 0, 0, 0, 0, 0, 0, 0x1f, 0, 0, 0, 0, 0, 0, 0, 6], () => _model.PinMemoryCacheattr(0x10, 0x1f, DmOp.CacheAttribute.WB));
        Sends(19, [33, 0, 0, 0, 1], () => _model.SetIrqLevel(33, true));
    }

    [Fact]
    public void ModifiedMemory_Many_GoesInPages()
    {
        var extents = new DmOp.ModifiedMemoryExtent[600];
        for (uint i = 0; i < extents.Length; i++) extents[i] = new() { Nr = 1, FirstPfn = i };

        Assert.Equal(0, _model.ModifiedMemory(extents));

        Assert.Equal([4096, 4096, 88 * 16], _extras.Select(extra => extra.Length));
        Assert.Equal(MemoryMarshal.AsBytes(extents.AsSpan()).ToArray(), _extras.SelectMany(extra => extra));
    }

    [Fact]
    public void Refused_HotOnesReturnIt_TheOthersThrowIt()
    {
        _answer = -ESRCH;

        Assert.Equal(-ESRCH, _model.InjectMsi(0, 0));
        Assert.Equal(-ESRCH, _model.SetPciIntxLevel(1, 0, true));
        Assert.Equal(-ESRCH, _model.ModifiedMemory([default]));
        XenException e = Assert.Throws<XenException>(() => _model.DestroyIoreqServer(1));
        Assert.Equal("dm_op DestroyIoreqServer for domain 9: ESRCH (No such process)", e.Message);
    }

    [Fact]
    public void HvmParams_RoundTrip()
    {
        HvmOp.Param seen = default;
        _xen.OnHypercall = (call, buffer) =>
        {
            seen = buffer.At<HvmOp.Param>(call.Arg1);
            buffer.At<HvmOp.Param>(call.Arg1).Value = 0xfeff4;
            return 0;
        };

        Assert.Equal(0xfeff4UL, _model.GetHvmParam(HvmParam.StorePfn));
        Assert.Equal((9, HvmParam.StorePfn), ((int)seen.Domid, seen.Index));
        _model.SetHvmParam(HvmParam.TimerMode, 2);
        Assert.Equal((HvmParam.TimerMode, 2UL), (seen.Index, seen.Value));
    }

    [Fact]
    public void InjectMsi_SteadyState_AllocatesNothing()
    {
        _xen.OnDmOp = static (ushort _, ref DmOp.Call _, Span<byte> _) => 0;
        _model.InjectMsi(0xfee00000, 0x41);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++) _model.InjectMsi(0xfee00000, 0x41);

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private void Sends(byte op, byte[] arguments, Action action)
    {
        action();
        var expected = new byte[32];
        expected[0] = op;
        arguments.CopyTo(expected, 8);
        Assert.Equal(expected, _sent);
    }
}
