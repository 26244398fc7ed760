using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenModel.Domains;
using XenModel.Drivers;
using Xunit;
using IoreqSlot = XenMemoryProvider.Abi.Ioreq;

namespace XenModel.Tests;

/// <summary>Counts what the process holds, so no other test may run beside it.</summary>
[CollectionDefinition("Alone", DisableParallelization = true)]
public sealed class AloneCollection;

[Collection("Alone")]
public sealed unsafe class LeakTests
{
    [Fact]
    public void ThousandLives_LeaveNothing()
    {
        using var xen = new Hypervisor();
        var kernel = new ModelXenKernel(xen);
        Live(xen, kernel, 0);
        (int Descriptors, int Mappings) before = Count();
        int dom0Pages = xen.Dom0.RamPages;
        for (int i = 1; i <= 1000; i++) Live(xen, kernel, i);
        (int Descriptors, int Mappings) after = Count();
        Assert.Single(xen.Domains);
        Assert.Equal(0, xen.Dom0.Grants.Tracked.Count);
        Assert.Equal(0, xen.Dom0.Grants.ActiveCount);
        Assert.Empty(xen.Dom0.Events.Open);
        Assert.Equal(dom0Pages, xen.Dom0.RamPages);
        Assert.Equal(before.Descriptors, after.Descriptors);
        Assert.Equal(before.Mappings, after.Mappings);
    }

    // A domain with everything in use, taken down in one of several orders.
    private static void Live(Hypervisor xen, ModelXenKernel kernel, int order)
    {
        Domain guest = xen.CreateDomain(new DomainOptions { Name = $"life{order}", MemoryMiB = 1, Vcpus = 2, Paused = false });
        IPrivcmd privcmd = kernel.OpenPrivcmd();
        IEvtchn evtchn = kernel.OpenEvtchn();
        IGntdev gntdev = kernel.OpenGntdev();
        IGntalloc gntalloc = kernel.OpenGntalloc();
        XenMapping foreign = privcmd.MapForeign(guest.Id, [1, 9, 2, 3], 3, new int[4], TimeSpan.Zero);
        var call = new DmOp.Call { Op = DmOp.Command.CreateIoreqServer };
        Assert.Equal(0, privcmd.DmOp(guest.Id, ref call));
        XenMapping page = privcmd.MapResource(guest.Id, MemoryOp.ResourceType.IoreqServer, 0, 1, 1);
        call = new DmOp.Call { Op = DmOp.Command.SetIoreqServerState };
        call.SetIoreqServerState.Enabled = 1;
        Assert.Equal(0, privcmd.DmOp(guest.Id, ref call));
        evtchn.BindInterdomain(guest.Id, ((IoreqSlot*)page.Pointer)[1].VpEport);
        uint reference;
        lock (xen.Gate) Assert.True(guest.GrantAllocator.TryGrant(0, 7, false, out reference));
        Assert.Equal(0, gntdev.Map([new(guest.Id, reference)], writable: true, out _));
        XenMapping granted = gntalloc.Allocate(guest.Id, true, new uint[2]);
        if (order % 2 == 0) xen.DestroyDomain(guest.Id);
        *(ulong*)foreign.Pointer = 1;
        IDisposable[] held = [foreign, page, granted, privcmd, evtchn, gntdev, gntalloc];
        for (int i = 0; i < held.Length; i++) held[(i + order) % held.Length].Dispose();
        xen.DestroyDomain(guest.Id);
    }

    private static (int Descriptors, int Mappings) Count()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return (Directory.GetFileSystemEntries("/proc/self/fd").Length, File.ReadLines("/proc/self/maps").Count(line => line.Contains("memfd:xen-")));
    }
}
