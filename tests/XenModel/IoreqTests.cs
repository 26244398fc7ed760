using System.Diagnostics;
using System.Runtime.InteropServices;
using XenMemoryProvider.Abi;
using XenModel.Domains;
using Xunit;
using static XenModel.Tests.ModelFixture;
using IoreqSlot = XenMemoryProvider.Abi.Ioreq;

namespace XenModel.Tests;

public sealed class IoreqInProcessTests() : IoreqTests(overSocket: false);

public sealed class IoreqOverSocketTests() : IoreqTests(overSocket: true);

public abstract class IoreqTests(bool overSocket) : KernelTests(overSocket)
{
    [Fact]
    public void PortRead_IsAnsweredByTheDeviceModel()
    {
        using var model = New();
        using var dm = new TestDeviceModel(model.Kernel, model.Domid, request => request.Addr * 3);
        Assert.Equal(0, dm.Claim(DmOp.IoRangeType.Port, 0x100, 0x107));
        dm.Start();
        Assert.Equal(0x100u * 3, model.Vcpu.Io.PortRead(0x100, 2));
        model.Vcpu.Io.PortWrite(0x104, 1, 0xffff);
        IoreqSlot write = dm.Seen[^1];
        Assert.Equal((IoreqType.Pio, 0x104UL, 0xffUL, 1u, false, 1u), (write.Type, write.Addr, write.Data, write.AccessSize, write.IsRead, write.Count));

        // A range must hold the whole access.
        Assert.Equal(0xffffffffu, model.Vcpu.Io.PortRead(0x106, 4));
        Assert.Equal(2, dm.Seen.Count);
    }

    [Fact]
    public void Mmio_OnlyOutsideRam()
    {
        using var model = New();
        using var dm = new TestDeviceModel(model.Kernel, model.Domid, request => 0x1122334455667788);
        dm.Claim(DmOp.IoRangeType.Memory, 0, ulong.MaxValue);
        dm.Start();
        Assert.Equal(0x1122334455667788UL, model.Vcpu.Io.MmioRead(0xfe000000, 8));
        Assert.Equal(0x55667788UL, model.Vcpu.Io.MmioRead(0xfe000000, 4));
        model.Vcpu.Io.MmioWrite(0x1000, 8, 99);
        Assert.Equal(99UL, model.Vcpu.Io.MmioRead(0x1000, 8));
        Assert.Equal(2, dm.Seen.Count);
    }

    [Fact]
    public void Config_IsLatchedAndTurnedIntoItsType()
    {
        using var model = New();
        using var dm = new TestDeviceModel(model.Kernel, model.Domid, request => request.Addr >> 32);
        dm.Claim(DmOp.IoRangeType.Pci, DmOp.PciSbdf(0, 0, 3, 0), DmOp.PciSbdf(0, 0, 3, 0));
        dm.Start();
        Assert.Equal(3u << 3, model.Vcpu.Io.ConfigRead(0, 3, 0, 0x12, 2));
        Assert.Equal((IoreqType.PciConfig, (ulong)DmOp.PciSbdf(0, 0, 3, 0) << 32 | 0x12), (dm.Seen[0].Type, dm.Seen[0].Addr));
        Assert.Equal(0xffffffffu, model.Vcpu.Io.ConfigRead(0, 4, 0, 0, 4));
        Assert.Single(dm.Seen);
    }

    [Fact]
    public void ConfigDisabled_IsAPortAccess()
    {
        using var model = New();
        using var dm = new TestDeviceModel(model.Kernel, model.Domid, request => 5);
        dm.Claim(DmOp.IoRangeType.Port, 0xcf8, 0xcff);
        dm.Start();
        model.Vcpu.Io.PortWrite(0xcf8, 4, 0x00001800);
        Assert.Equal(5u, model.Vcpu.Io.PortRead(0xcfc, 4));
        Assert.Equal([0xcf8UL, 0xcfcUL], dm.Seen.Select(request => request.Addr));
    }

    [Fact]
    public void HigherServer_WinsAnOverlap()
    {
        using var model = New();
        using var first = new TestDeviceModel(model.Kernel, model.Domid, request => 1);
        using var second = new TestDeviceModel(model.Kernel, model.Domid, request => 2);
        first.Claim(DmOp.IoRangeType.Port, 0x100, 0x1ff);
        second.Claim(DmOp.IoRangeType.Port, 0x110, 0x11f);
        first.Start();
        second.Start();
        Assert.Equal((0, 1), (first.Id, second.Id));
        Assert.Equal(1u, model.Vcpu.Io.PortRead(0x100, 1));
        Assert.Equal(2u, model.Vcpu.Io.PortRead(0x110, 1));
        second.Enable(false);
        Assert.Equal(1u, model.Vcpu.Io.PortRead(0x110, 1));
    }

    [Fact]
    public void Reps_AreCutAtPages()
    {
        using var model = New();
        using var dm = new TestDeviceModel(model.Kernel, model.Domid, request => 0);
        dm.Claim(DmOp.IoRangeType.Memory, 0xfe000000, 0xfe00ffff);
        dm.Claim(DmOp.IoRangeType.Port, 0x1f0, 0x1f7);
        dm.Start();
        model.Vcpu.Io.MmioCopy(0xfe000ff0, 0x2000, 4, 8, read: false);
        Assert.Equal([(0xfe000ff0UL, 0x2000UL, 4u), (0xfe001000UL, 0x2010UL, 4u)], dm.Seen.Select(r => (r.Addr, r.Data, r.Count)));
        Assert.All(dm.Seen, request => Assert.True(request.DataIsPointer));
        dm.Seen.Clear();
        model.Vcpu.Io.PortCopy(0x1f0, 0x2ffe, 2, 3, read: true, descending: false);
        Assert.Equal([(0x1f0UL, 0x2ffeUL, 1u), (0x1f0UL, 0x3000UL, 2u)], dm.Seen.Select(r => (r.Addr, r.Data, r.Count)));
        dm.Seen.Clear();
        model.Vcpu.Io.MmioCopy(0xfe000008, 0x2008, 4, 3, read: false, descending: true);
        Assert.Equal([(0xfe000008UL, 3u, true)], dm.Seen.Select(r => (r.Addr, r.Count, r.Descending)));
        dm.Seen.Clear();
        model.Vcpu.Io.MmioFill(0xfe000000, 8, 5, 7);
        Assert.Equal([(7UL, 5u, false)], dm.Seen.Select(r => (r.Data, r.Count, r.DataIsPointer)));
    }

    [Fact]
    public void RepIn_FromNobody_WritesOnes()
    {
        using var model = New();
        model.Vcpu.Io.PortCopy(0x300, 0x2000, 2, 4, read: true);
        Assert.Equal(ulong.MaxValue, model.Guest.Memory.Read<ulong>(0x2000));
        Assert.Equal(0UL, model.Guest.Memory.Read<ulong>(0x2008));
    }

    [Theory]
    [InlineData(IoreqState.InProcess, IoreqState.Ready)]
    [InlineData(IoreqState.InProcess, (IoreqState)7)]
    public async Task StateThatGoesBack_CrashesTheDomain(IoreqState first, IoreqState second)
    {
        using var model = New();
        using var dm = new TestDeviceModel(model.Kernel, model.Domid, request => 0);
        dm.Claim(DmOp.IoRangeType.Port, 0x100, 0x100);
        dm.Enable();
        uint port = model.Evtchn.BindInterdomain(model.Domid, dm.Slot().VpEport);
        Task<uint> read = Task.Run(() => model.Vcpu.Io.PortRead(0x100, 1), TestContext.Current.CancellationToken);
        Step(dm, first);
        model.Evtchn.Notify(port);

        // The CPU has seen the first step once it waits again; notify until the second is seen.
        await Until(() => Pending(model).Seen == first);
        Step(dm, second);
        model.Evtchn.Notify(port);
        await Assert.ThrowsAsync<DomainStoppedException>(() => read.WaitAsync(Deadline, TestContext.Current.CancellationToken));
        Assert.Equal(ShutdownReason.Crash, model.Guest.Shutdown);
        Assert.Contains("weird ioreq state", model.Guest.CrashReason);
    }

    [Fact]
    public void PageInAWrongState_CrashesForPorts_FaultsForMemory()
    {
        using var model = New();
        using var dm = new TestDeviceModel(model.Kernel, model.Domid, request => 0);
        dm.Claim(DmOp.IoRangeType.Port, 0x100, 0x100);
        dm.Claim(DmOp.IoRangeType.Memory, 0xfe000000, 0xfe000fff);
        dm.Enable();
        dm.Slot().State = IoreqState.InProcess;
        Assert.Equal(13, Assert.Throws<GuestFaultException>(() => model.Vcpu.Io.MmioRead(0xfe000000, 4)).Vector);
        dm.Slot().State = IoreqState.None;
        dm.Slot().VpEport = 12345;
        Assert.Throws<DomainStoppedException>(() => model.Vcpu.Io.PortRead(0x100, 1));
        Assert.Equal("device model set bad event channel 12345", model.Guest.CrashReason);
    }

    [Fact]
    public void EnabledBeforeThePageExists_HasNoPorts()
    {
        using var model = New();
        var create = new DmOp.Call { Op = DmOp.Command.CreateIoreqServer };
        Assert.Equal(0, model.Privcmd.DmOp(model.Domid, ref create));
        var enable = new DmOp.Call { Op = DmOp.Command.SetIoreqServerState };
        enable.SetIoreqServerState.Enabled = 1;
        Assert.Equal(0, model.Privcmd.DmOp(model.Domid, ref enable));
        using XenMemoryProvider.Kernel.XenMapping page = model.Privcmd.MapResource(model.Domid, MemoryOp.ResourceType.IoreqServer, 0, 1, 1);
        Assert.True(page.Memory.Span[..4096].IndexOfAnyExcept((byte)0) < 0);
    }

    [Fact]
    public async Task DestroyedServer_WhoWaits_WaitsForEver()
    {
        using var model = New();
        using var dm = new TestDeviceModel(model.Kernel, model.Domid, request => 0);
        dm.Claim(DmOp.IoRangeType.Port, 0x100, 0x100);
        dm.Enable();
        Task<uint> read = Task.Run(() => model.Vcpu.Io.PortRead(0x100, 1), TestContext.Current.CancellationToken);
        await Until(() => IoreqSlot.StateOf(ref dm.Slot().Bits) == IoreqState.Ready);
        Assert.Equal(0, dm.Destroy());
        model.Guest.Pause();
        model.Guest.Unpause();
        Assert.NotSame(read, await Task.WhenAny(read, Task.Delay(50, TestContext.Current.CancellationToken)));
        model.Xen.DestroyDomain(model.Domid);
        await Assert.ThrowsAsync<DomainStoppedException>(() => read.WaitAsync(Deadline, TestContext.Current.CancellationToken));
    }

    /// <summary>Destroyed before the CPU has even begun to wait, in some of the rounds.</summary>
    [Fact]
    public void DestroyedServer_AtOnce_LeavesTheCpuWaitingToo()
    {
        for (int round = 0; round < 300; round++)
        {
            using var model = New();
            using var dm = new TestDeviceModel(model.Kernel, model.Domid, request => 0);
            dm.Claim(DmOp.IoRangeType.Port, 0x100, 0x100);
            dm.Enable();
            uint? read = null;
            var cpu = new Thread(() =>
            {
                try
                {
                    read = model.Vcpu.Io.PortRead(0x100, 1);
                }
                catch (DomainStoppedException)
                {
                }
            });
            cpu.Start();
            for (var waited = Stopwatch.StartNew(); IoreqSlot.StateOf(ref dm.Slot().Bits) != IoreqState.Ready;)
                Assert.True(waited.Elapsed < Deadline);

            Assert.Equal(0, dm.Destroy());
            Assert.False(cpu.Join(1));
            model.Xen.DestroyDomain(model.Domid);
            Assert.True(cpu.Join(Deadline));
            Assert.Null(read);
        }
    }

    [Fact]
    public async Task DomainDestroyed_MidRequest_Unwinds()
    {
        using var model = New();
        using var dm = new TestDeviceModel(model.Kernel, model.Domid, request => 0);
        dm.Claim(DmOp.IoRangeType.Port, 0x100, 0x100);
        dm.Enable();
        Task<uint> read = Task.Run(() => model.Vcpu.Io.PortRead(0x100, 1), TestContext.Current.CancellationToken);
        await Until(() => IoreqSlot.StateOf(ref dm.Slot().Bits) == IoreqState.Ready);
        model.Xen.DestroyDomain(model.Domid);
        await Assert.ThrowsAsync<DomainStoppedException>(() => read.WaitAsync(Deadline, TestContext.Current.CancellationToken));
        Assert.Equal(Errno(XenErrno.ENOENT), dm.Claim(DmOp.IoRangeType.Port, 1, 2));
    }

    [Fact]
    public void Balloon_TellsEveryServer()
    {
        using var model = New();
        using var first = new TestDeviceModel(model.Kernel, model.Domid, request => 0).Start();
        using var second = new TestDeviceModel(model.Kernel, model.Domid, request => 0).Start();
        Assert.Equal(1, model.Balloon(9));
        foreach (TestDeviceModel dm in new[] { first, second })
        {
            IoreqSlot request = Assert.Single(dm.Seen);
            Assert.Equal((IoreqType.Invalidate, 4u, false, ulong.MaxValue), (request.Type, request.AccessSize, request.IsRead, request.Data));
        }

        Assert.Equal(0, model.Populate(9) - 1);
        Assert.Single(first.Seen);
    }

    [Fact]
    public void TwoVcpus_HaveTheirOwnSlotsAndPorts()
    {
        using var model = New(vcpus: 4);
        using var dm = new TestDeviceModel(model.Kernel, model.Domid, request => request.Addr);
        dm.Claim(DmOp.IoRangeType.Port, 0x100, 0x1ff);
        dm.Start(vcpus: 4);
        Parallel.For(0, 4, vcpu =>
        {
            for (int i = 0; i < 200; i++) Assert.Equal((uint)(0x100 + vcpu), model.Guest.Vcpus[vcpu].Io.PortRead((ushort)(0x100 + vcpu), 2));
        });
        Assert.Equal(800, dm.Seen.Count);
    }

    [Fact]
    public void TimeOffset_GoesThroughTheRing_InTwoSlots()
    {
        using var model = New();
        using var dm = new TestDeviceModel(model.Kernel, model.Domid, request => 0, buffered: true);
        dm.Enable();
        model.Vcpu.Io.SendTimeOffset(0x1_0000_0002);
        ReadOnlySpan<BufferedIoreq> slots = MemoryMarshal.Cast<uint, BufferedIoreq>(dm.Buffered[2..]);
        Assert.Equal(2u, dm.Buffered[1]);
        Assert.Equal((IoreqType.TimeOffset, 3, 2u), (slots[0].Type, slots[0].SizeShift, slots[0].Data));
        Assert.Equal(1u, slots[1].Data);
    }

    [Fact]
    public void BufferedRing_Full_FallsBackAndRebases()
    {
        using var model = New();
        using var dm = new TestDeviceModel(model.Kernel, model.Domid, request => 0, buffered: true);
        const ulong video = 0xa0000;
        dm.Claim(DmOp.IoRangeType.Memory, video, video + 0x1ffff);
        dm.Start();
        Assert.Equal(1, model.Balloon(video >> 12));
        dm.Seen.Clear();
        for (int i = 0; i < 511; i++) model.Vcpu.Io.BufferedWrite(video, 4, (ulong)i);
        Assert.Equal(511u, dm.Buffered[1]);
        Assert.Empty(dm.Seen);
        model.Vcpu.Io.BufferedWrite(video, 4, 1);
        Assert.Single(dm.Seen);
        dm.Buffered[0] = 511;
        model.Vcpu.Io.BufferedWrite(video, 4, 1);
        Assert.Equal((0u, 1u), (dm.Buffered[0], dm.Buffered[1]));
    }

    private static Ioreq.IoreqServer.Channel Pending(ModelFixture model)
    {
        lock (model.Xen.Gate) return model.Guest.IoreqServers.Find(0)!.ChannelOf(model.Vcpu);
    }

    private static void Step(TestDeviceModel dm, IoreqState state)
    {
        SpinWait.SpinUntil(() => IoreqSlot.StateOf(ref dm.Slot().Bits) != IoreqState.None, Deadline);
        dm.Slot().Bits = (byte)(dm.Slot().Bits & 0xf0 | (byte)state);
    }

    private static async Task Until(Func<bool> condition)
    {
        long end = Environment.TickCount64 + (long)Deadline.TotalMilliseconds;
        while (!condition())
        {
            Assert.True(Environment.TickCount64 < end, "the deadline passed");
            await Task.Yield();
        }
    }
}
