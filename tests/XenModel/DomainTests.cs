using XenMemoryProvider.Abi;
using XenModel.Domains;
using Xunit;
using static XenModel.Tests.ModelFixture;

namespace XenModel.Tests;

public sealed class DomainTests
{
    [Fact]
    public void Domain_Created_HasRamAndSpecialPages()
    {
        using var model = new ModelFixture(memoryMiB: 4);
        Assert.Equal(1024 + 8, model.Guest.RamPages);
        Assert.Equal(0, model.Privcmd_GetParam(HvmParam.StorePfn, out ulong store));
        Assert.Equal(0xfeffcUL, store);
        model.Guest.Memory.Write(0x1000, 0x1122334455667788UL);
        Assert.Equal(0x1122334455667788UL, model.Guest.Memory.Read<ulong>(0x1000));
    }

    [Fact]
    public void Domain_MemoryAboveTheHole_ContinuesAtFourGiB()
    {
        using var xen = new Hypervisor();
        Domain guest = xen.CreateDomain(new DomainOptions { MemoryMiB = 4, MmioHole = 2 << 20 });
        Assert.True(guest.Memory.TryWrite((2UL << 20) - 8, new byte[8]));
        Assert.False(guest.Memory.TryWrite(2UL << 20, new byte[8]));
        Assert.True(guest.Memory.TryWrite((4UL << 30) + (2UL << 20) - 8, new byte[8]));
        Assert.False(guest.Memory.TryWrite((4UL << 30) + (2UL << 20), new byte[8]));
    }

    [Fact]
    public void Domain_Destroyed_StaysUntilItsMemoryIsUnmapped()
    {
        using var model = new ModelFixture();
        model.Guest.Memory.Write(0x5000, (byte)42);
        XenMemoryProvider.Kernel.XenMapping mapping = model.Map(5);
        Assert.True(model.Xen.DestroyDomain(model.Domid));
        Assert.False(model.Xen.DestroyDomain(model.Domid));
        Assert.Null(model.Xen.Find(model.Domid));
        Assert.Contains(model.Xen.Domains, domain => domain.Id == model.Domid);
        Assert.Equal(42, mapping.Memory.Span[0]);
        mapping.Dispose();
        Assert.DoesNotContain(model.Xen.Domains, domain => domain.Id == model.Domid);
        Assert.Equal(Errno(XenErrno.ESRCH), model.DmOp(DmOp.Command.NrVcpus));
    }

    [Fact]
    public async Task Vcpu_OfAPausedDomain_WaitsUntilUnpaused()
    {
        using var xen = new Hypervisor();
        Domain guest = xen.CreateDomain(new DomainOptions { MemoryMiB = 1, Paused = true });
        Task<uint> read = Task.Run(() => guest.Vcpus[0].Io.PortRead(0x80, 1), TestContext.Current.CancellationToken);
        await Assert.ThrowsAsync<TimeoutException>(() => read.WaitAsync(TimeSpan.FromMilliseconds(50), TestContext.Current.CancellationToken));
        guest.Unpause();
        Assert.Equal(0xffu, await read.WaitAsync(Deadline, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Vcpu_WhenItsDomainIsDestroyed_Unwinds()
    {
        using var model = new ModelFixture();
        model.Guest.Pause();
        Task<uint> read = Task.Run(() => model.Vcpu.Io.PortRead(0x80, 1), TestContext.Current.CancellationToken);
        model.Xen.DestroyDomain(model.Domid);
        await Assert.ThrowsAsync<DomainStoppedException>(() => read.WaitAsync(Deadline, TestContext.Current.CancellationToken));
    }

    [Fact]
    public void Shutdown_RaisesVirqInDomain0()
    {
        using var model = new ModelFixture();
        uint port = model.Evtchn.BindVirq(Virq.DomExc);
        model.Guest.ShutDown(ShutdownReason.Poweroff);
        Span<uint> ports = stackalloc uint[4];
        Assert.Equal(1, model.Evtchn.ReadPorts(ports));
        Assert.Equal(port, ports[0]);
        Assert.Equal(ShutdownReason.Poweroff, model.Guest.Shutdown);
    }

    [Theory]
    [InlineData(HvmParam.IoreqServerPfn, 5UL, XenErrno.None)] // PVH has none, so the first write counts.
    [InlineData(HvmParam.BufioreqEvtchn, 1UL, XenErrno.EINVAL)]
    [InlineData(HvmParam.Count, 1UL, XenErrno.EINVAL)]
    [InlineData(HvmParam.TimerMode, 4UL, XenErrno.EINVAL)]
    [InlineData(HvmParam.TimerMode, 3UL, XenErrno.None)]
    public void SetParam_ByDomain0_Answers(HvmParam index, ulong value, XenErrno expected)
    {
        using var model = new ModelFixture();
        Assert.Equal(Errno(expected), model.Privcmd_SetParam(index, value));
    }

    [Fact]
    public void SetParam_WriteOnce_RefusesAnotherValue()
    {
        using var model = new ModelFixture();
        Assert.Equal(0, model.Privcmd_SetParam(HvmParam.Altp2m, 2));
        Assert.Equal(0, model.Privcmd_SetParam(HvmParam.Altp2m, 2));
        Assert.Equal(Errno(XenErrno.EEXIST), model.Privcmd_SetParam(HvmParam.Altp2m, 1));
    }

    [Fact]
    public void SetParam_ByTheGuest_OnlyItsOwnOnes()
    {
        using var model = new ModelFixture();
        var callback = new HvmOp.Param { Domid = Domid.Self, Index = HvmParam.CallbackIrq, Value = 2UL << 56 | 0xf3 };
        Assert.Equal(0, model.Vcpu.Hypercall(Hypercall.HvmOp, (uint)HvmOp.Command.SetParam, ref callback));
        Assert.Equal(0xf3, model.Vcpu.UpcallVector);
        var store = new HvmOp.Param { Domid = Domid.Self, Index = HvmParam.StorePfn, Value = 1 };
        Assert.Equal(Errno(XenErrno.EPERM), model.Vcpu.Hypercall(Hypercall.HvmOp, (uint)HvmOp.Command.SetParam, ref store));
        Assert.Equal(0, model.Vcpu.Hypercall(Hypercall.HvmOp, (uint)HvmOp.Command.GetParam, ref store));
        var domain0 = new HvmOp.Param { Domid = 0, Index = HvmParam.StorePfn };
        Assert.Equal(Errno(XenErrno.EINVAL), model.Vcpu.Hypercall(Hypercall.HvmOp, (uint)HvmOp.Command.GetParam, ref domain0));
    }

    [Fact]
    public void Altp2m_WithoutTheOption_IsNotSupported()
    {
        using var model = new ModelFixture();
        var nothing = new Altp2mOp.Call { Version = 1 };
        Assert.Equal(Errno(XenErrno.EOPNOTSUPP), model.Vcpu.Hypercall(Hypercall.HvmOp, (uint)HvmOp.Command.Altp2m, ref nothing));
    }
}
