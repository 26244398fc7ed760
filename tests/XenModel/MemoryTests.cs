using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenModel.Domains;
using Xunit;
using static XenModel.Tests.ModelFixture;

namespace XenModel.Tests;

public sealed class MemoryInProcessTests() : MemoryTests(overSocket: false);

public sealed class MemoryOverSocketTests() : MemoryTests(overSocket: true);

public abstract unsafe class MemoryTests(bool overSocket) : KernelTests(overSocket)
{
    [Fact]
    public void MapForeign_ScatteredFrames_ShowsTheGuestsBytes()
    {
        using var model = New();
        ulong[] gfns = [7, 8, 9, 3, 100, 2];
        foreach (ulong gfn in gfns) model.Guest.Memory.Write(gfn << 12, gfn);
        using XenMapping mapping = model.Map(gfns);
        for (int i = 0; i < gfns.Length; i++) Assert.Equal(gfns[i], *(ulong*)(mapping.Pointer + i * 4096));
        *(ulong*)(mapping.Pointer + 3 * 4096) = 77;
        Assert.Equal(77UL, model.Guest.Memory.Read<ulong>(3 << 12));
    }

    [Fact]
    public void MapForeign_Holes_FailAlone()
    {
        using var model = New();
        Assert.Equal([0, -22, 0, -22, -22], model.MapErrors(model.Domid, 1, 5000, 2, 0xf0000, ulong.MaxValue));
    }

    [Fact]
    public void MapForeign_OfNobodyOrSelf_IsEsrch()
    {
        using var model = New();
        Assert.Equal([-3], model.MapErrors(77, 1));
        Assert.Equal([-3], model.MapErrors(0, 1));
        Assert.Equal([-3], model.MapErrors(Domid.Invalid, 1));
    }

    [Fact]
    public void MapForeign_Restricted_IsEperm()
    {
        using var model = New();
        model.Privcmd.Restrict(model.Domid);
        model.Privcmd.Restrict(model.Domid);
        Assert.Equal(22, Assert.Throws<XenException>(() => model.Privcmd.Restrict(5)).Errno);
        model.Map(1).Dispose();
        Assert.Equal(1, Assert.Throws<XenException>(() => model.MapErrors(5, 1)).Errno);
        Assert.Equal(Errno(XenErrno.EPERM), model.Privcmd_GetParam(HvmParam.StorePfn, out _));
    }

    [Fact]
    public void MapForeign_FromADomainWithoutRights_IsEperm()
    {
        using var model = New();
        Domain other = model.Xen.CreateDomain(new DomainOptions { Name = "other", Type = DomainType.PV, MemoryMiB = 1 });
        using IPrivcmd privcmd = model.KernelOf(other).OpenPrivcmd();
        int[] errors = new int[1];
        privcmd.MapForeign(model.Domid, [1], 3, errors, TimeSpan.Zero).Dispose();
        Assert.Equal(-1, errors[0]);
    }

    [Fact]
    public void MapForeign_FromAStubDomain_Works()
    {
        using var model = New();
        Domain stub = model.Xen.CreateDomain(new DomainOptions { Name = "stub", Type = DomainType.PV, MemoryMiB = 1, Target = model.Domid });
        using IPrivcmd privcmd = model.KernelOf(stub).OpenPrivcmd();
        int[] errors = new int[1];
        privcmd.MapForeign(model.Domid, [1], 3, errors, TimeSpan.Zero).Dispose();
        Assert.Equal(0, errors[0]);
    }

    [Fact]
    public void PagedOut_ComesBackAfterRetries_WithItsBytes()
    {
        using var model = New();
        model.Guest.Memory.Write(5 << 12, 0xabcdUL);
        int before = model.Guest.RamPages;
        Assert.Equal(1, model.Xen.Faults.PageOut(model.Domid, 5, 1, requestsUntilBack: 3));
        Assert.Equal(before - 1, model.Guest.RamPages);
        Assert.Equal([-2], model.MapErrors(model.Domid, 5));
        int[] errors = new int[3];
        using XenMapping mapping = model.Privcmd.MapForeign(model.Domid, [4, 5, 6], 3, errors, Deadline);
        Assert.Equal([0, 0, 0], errors);
        Assert.Equal(0xabcdUL, *(ulong*)(mapping.Pointer + 4096));
    }

    [Fact]
    public void PageOut_OfAMappedPage_IsRefused()
    {
        using var model = New();
        using XenMapping mapping = model.Map(5);
        Assert.Equal(0, model.Xen.Faults.PageOut(model.Domid, 5, 1));
    }

    [Fact]
    public void Balloon_UnderAMapping_LeavesTheOldPageStale()
    {
        using var model = New();
        model.Guest.Memory.Write(9 << 12, 1234UL);
        XenMapping stale = model.Map(9);
        int before = model.Guest.RamPages;
        Assert.Equal(1, model.Balloon(9));
        Assert.Equal(before, model.Guest.RamPages);
        Assert.Equal([-22], model.MapErrors(model.Domid, 9));
        Assert.Equal(1, model.Populate(9));
        Assert.Equal(0UL, model.Guest.Memory.Read<ulong>(9 << 12));
        model.Guest.Memory.Write(9 << 12, 5UL);
        Assert.Equal(1234UL, *(ulong*)stale.Pointer);
        stale.Dispose();
        Assert.Equal(before, model.Guest.RamPages);
    }

    [Fact]
    public void Populate_BeyondTheLimit_StopsThere()
    {
        using var model = New(memoryMiB: 1);
        ulong[] gfns = [.. Enumerable.Range(0x10000, 400).Select(gfn => (ulong)gfn)];
        Assert.Equal(256 - 8, model.Populate(gfns));
        Assert.Equal(0, model.Populate(0x20000));
    }

    [Fact]
    public void Balloon_OfAHole_StopsThere()
    {
        using var model = New();
        Assert.Equal(2, model.Balloon(1, 2, 0x30000, 3));
    }

    [Fact]
    public void FailPage_FailsTheNthOnce()
    {
        using var model = New();
        model.Xen.Faults.FailPage(model.Domid, nth: 2, error: 12);
        Assert.Equal([0, 0, -12, 0], model.MapErrors(model.Domid, 1, 2, 3, 4));
        Assert.Equal([0, 0, 0, 0], model.MapErrors(model.Domid, 1, 2, 3, 4));
    }

    [Fact]
    public void Hypercall_HandleOutsideTheBuffer_IsEfault()
    {
        using var model = New();
        using HypercallBuffer buffer = model.Privcmd.AllocateBuffer(64);
        foreach (ulong handle in new[] { 0UL, buffer.Address + 4096, buffer.Address - 8, ulong.MaxValue, ulong.MaxValue - 15 })
        {
            var call = new Privcmd.Hypercall { Op = (ulong)Hypercall.HvmOp, Arg0 = (ulong)HvmOp.Command.GetParam, Arg1 = handle };
            Assert.Equal(Errno(XenErrno.EFAULT), model.Privcmd.Hypercall(call, buffer));
        }
    }

    [Fact]
    public void Hypercall_Unknown_IsEnosys()
    {
        using var model = New();
        using HypercallBuffer buffer = model.Privcmd.AllocateBuffer(64);
        Assert.Equal(Errno(XenErrno.ENOSYS), model.Privcmd.Hypercall(new Privcmd.Hypercall { Op = 63 }, buffer));
    }

    [Fact]
    public void AddToPhysmap_SharedInfo_AppearsInTheGuest()
    {
        using var model = New();
        var add = new MemoryOp.AddToPhysmap { Domid = Domid.Self, Space = MemoryOp.MapSpace.SharedInfo, Gpfn = 0x40000 };
        Assert.Equal(0, model.Vcpu.Hypercall(Hypercall.MemoryOp, (uint)MemoryOp.Command.AddToPhysmap, ref add));
        Assert.True(model.Guest.Memory.TryWrite(0x40000UL << 12, new byte[] { 1 }));
        add.Gpfn = 0x40001;
        Assert.Equal(0, model.Vcpu.Hypercall(Hypercall.MemoryOp, (uint)MemoryOp.Command.AddToPhysmap, ref add));
        Assert.False(model.Guest.Memory.TryWrite(0x40000UL << 12, new byte[] { 1 }));
        Assert.Equal(1, model.Guest.Memory.Read<byte>(0x40001UL << 12));
    }
}
