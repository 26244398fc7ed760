using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenModel.Domains;
using XenModel.Ioreq;
using Xunit;
using static XenModel.Tests.ModelFixture;

namespace XenModel.Tests;

public sealed class DmOpInProcessTests() : DmOpTests(overSocket: false);

public sealed class DmOpOverSocketTests() : DmOpTests(overSocket: true);

public abstract class DmOpTests(bool overSocket) : KernelTests(overSocket)
{
    [Fact]
    public void Servers_AreEight_AndIdsAreReused()
    {
        using var model = New();
        for (int id = 0; id < 8; id++)
        {
            Assert.Equal(0, model.DmOp(DmOp.Command.CreateIoreqServer, out DmOp.Call call));
            Assert.Equal(id, call.CreateIoreqServer.Id);
        }

        Assert.Equal(Errno(XenErrno.ENOSPC), model.DmOp(DmOp.Command.CreateIoreqServer));
        Assert.Equal(0, model.DmOp(DmOp.Command.DestroyIoreqServer, call => call.Value.DestroyIoreqServer.Id = 3));
        Assert.Equal(Errno(XenErrno.ENOENT), model.DmOp(DmOp.Command.DestroyIoreqServer, call => call.Value.DestroyIoreqServer.Id = 3));
        Assert.Equal(0, model.DmOp(DmOp.Command.CreateIoreqServer, out DmOp.Call again));
        Assert.Equal(3, again.CreateIoreqServer.Id);
    }

    [Fact]
    public void Server_OfAnotherDomain_IsEperm()
    {
        using var model = New();
        Domain stub = model.Xen.CreateDomain(new DomainOptions { Name = "stub", Type = DomainType.PV, MemoryMiB = 1, Target = model.Domid });
        using IPrivcmd other = model.KernelOf(stub).OpenPrivcmd();
        var create = new DmOp.Call { Op = DmOp.Command.CreateIoreqServer };
        Assert.Equal(0, other.DmOp(model.Domid, ref create));
        Assert.Equal(Errno(XenErrno.EPERM), model.DmOp(DmOp.Command.DestroyIoreqServer));
        Assert.Equal(Errno(XenErrno.EPERM), model.DmOp(DmOp.Command.GetIoreqServerInfo, call => call.Value.GetIoreqServerInfo.Flags = DmOp.NoGfns));
        Assert.Equal(1, Assert.Throws<XenException>(() => model.Privcmd.MapResource(model.Domid, MemoryOp.ResourceType.IoreqServer, 0, 1, 1)).Errno);
    }

    [Fact]
    public void Ranges_ErrorsOfMapAndUnmap()
    {
        using var model = New();
        model.DmOp(DmOp.Command.CreateIoreqServer);
        Assert.Equal(Errno(XenErrno.EINVAL), Map(2, 1));
        Assert.Equal(Errno(XenErrno.EINVAL), Map(1, 2, type: 3));
        Assert.Equal(Errno(XenErrno.EINVAL), Map(1, 2, pad: 1));
        Assert.Equal(Errno(XenErrno.ENOENT), Map(1, 2, id: 1));
        Assert.Equal(0, Map(10, 19));
        Assert.Equal(Errno(XenErrno.EEXIST), Map(19, 30));
        Assert.Equal(0, Map(20, 29));
        Assert.Equal(Errno(XenErrno.ENOENT), Unmap(25, 30));
        Assert.Equal(0, Unmap(15, 24));
        Assert.Equal(Errno(XenErrno.ENOENT), Unmap(15, 15));
        Assert.Equal(0, Map(15, 24));
        Assert.Equal(0, Map(0, ulong.MaxValue, type: 1));
        Assert.Equal(Errno(XenErrno.EEXIST), Map(5, 5, type: 1));

        int Map(ulong start, ulong end, uint type = 0, ushort id = 0, ushort pad = 0) => model.DmOp(DmOp.Command.MapIoRangeToIoreqServer, call =>
            call.Value.MapIoRange = new DmOp.IoreqServerRange { Id = id, Pad = pad, Type = (DmOp.IoRangeType)type, Start = start, End = end });
        int Unmap(ulong start, ulong end) => model.DmOp(DmOp.Command.UnmapIoRangeFromIoreqServer, call =>
            call.Value.UnmapIoRange = new DmOp.IoreqServerRange { Type = 0, Start = start, End = end });
    }

    [Fact]
    public void Ranges_Are256PerType()
    {
        using var model = New();
        model.DmOp(DmOp.Command.CreateIoreqServer);
        for (uint i = 0; i < 256; i++) Assert.Equal(0, Map(i * 2));
        Assert.Equal(Errno(XenErrno.ENOMEM), Map(1000));
        Assert.Equal(0, Map(1)); // Merges two.
        Assert.Equal(0, Map(1000));

        int Map(ulong port) => model.DmOp(DmOp.Command.MapIoRangeToIoreqServer, call =>
            call.Value.MapIoRange = new DmOp.IoreqServerRange { Start = port, End = port });
    }

    [Fact]
    public void Resource_QuirksOfItsSizeAndFrames()
    {
        using var model = New();
        model.DmOp(DmOp.Command.CreateIoreqServer);
        Assert.Equal(2UL, model.Privcmd.GetResourceSize(model.Domid, MemoryOp.ResourceType.IoreqServer, 0));
        Assert.Equal(0xffffffa1UL, model.Privcmd.GetResourceSize(model.Domid, (MemoryOp.ResourceType)9, 0));
        Assert.Equal(64UL, model.Privcmd.GetResourceSize(model.Domid, MemoryOp.ResourceType.GrantTable, 0));
        Assert.Equal(XenErrno.ENOENT, Error(MemoryOp.ResourceType.IoreqServer, 0, 0));
        Assert.Equal(XenErrno.EINVAL, Error(MemoryOp.ResourceType.IoreqServer, 0, 2));
        Assert.Equal(XenErrno.ENOENT, Error(MemoryOp.ResourceType.IoreqServer, 5, 1));
        Assert.Equal(XenErrno.EOPNOTSUPP, Error((MemoryOp.ResourceType)9, 0, 0));
        Assert.Equal(XenErrno.EINVAL, Error(MemoryOp.ResourceType.GrantTable, 1, 0));

        XenErrno Error(MemoryOp.ResourceType type, uint id, uint frame) =>
            Assert.Throws<XenException>(() => model.Privcmd.MapResource(model.Domid, type, id, frame, 1)).Error;
    }

    [Fact]
    public void ServerInfo_GfnsAndResource_ExcludeEachOther()
    {
        using var model = New(DomainType.HVM);
        model.DmOp(DmOp.Command.CreateIoreqServer, call => call.Value.CreateIoreqServer.HandleBufioreq = DmOp.BufferedIoreq.Atomic);
        Assert.Equal(0, model.DmOp(DmOp.Command.GetIoreqServerInfo, out DmOp.Call info));
        Assert.Equal((0xfeff0UL, 0xfeff1UL), (info.GetIoreqServerInfo.IoreqGfn, info.GetIoreqServerInfo.BufioreqGfn));
        Assert.NotEqual(0u, info.GetIoreqServerInfo.BufioreqPort);

        // The guest sees the page until the server is enabled.
        model.Map(0xfeff0).Dispose();
        model.DmOp(DmOp.Command.SetIoreqServerState, call => call.Value.SetIoreqServerState.Enabled = 1);
        Assert.Equal([-22], model.MapErrors(model.Domid, 0xfeff0));
        model.DmOp(DmOp.Command.SetIoreqServerState, call => call.Value.SetIoreqServerState.Enabled = 0);
        model.Map(0xfeff0).Dispose();

        // Refused, and the page is lost.
        Assert.Equal(1, Assert.Throws<XenException>(() => model.Privcmd.MapResource(model.Domid, MemoryOp.ResourceType.IoreqServer, 0, 1, 1)).Errno);
        Assert.Equal([-22], model.MapErrors(model.Domid, 0xfeff0));

        model.DmOp(DmOp.Command.CreateIoreqServer);
        model.Privcmd.MapResource(model.Domid, MemoryOp.ResourceType.IoreqServer, 1, 1, 1).Dispose();
        Assert.Equal(Errno(XenErrno.EPERM), model.DmOp(DmOp.Command.GetIoreqServerInfo, call => call.Value.GetIoreqServerInfo.Id = 1));
    }

    [Fact]
    public void ServerInfo_OfPvh_HasNoGfns()
    {
        using var model = New();
        model.DmOp(DmOp.Command.CreateIoreqServer);
        Assert.Equal(Errno(XenErrno.ENOMEM), model.DmOp(DmOp.Command.GetIoreqServerInfo));
        Assert.Equal(Errno(XenErrno.EINVAL), model.DmOp(DmOp.Command.GetIoreqServerInfo, call => call.Value.GetIoreqServerInfo.Flags = 2));
        Assert.Equal(0, model.DmOp(DmOp.Command.GetIoreqServerInfo, call => call.Value.GetIoreqServerInfo.Flags = DmOp.NoGfns));
    }

    [Theory]
    [InlineData(0xfee00000UL, 0x0041u, XenErrno.None, 0x41, 0)]
    [InlineData(0xfee02000UL, 0x0041u, XenErrno.None, -1, 0x41)]
    [InlineData(0xfeeff000UL, 0x0041u, XenErrno.None, 0x41, 0x41)]
    [InlineData(0xfee03004UL, 0x0041u, XenErrno.None, 0x41, 0x41)]
    [InlineData(0xfee05000UL, 0x0041u, XenErrno.None, -1, -1)]
    [InlineData(0xfee05000UL, 0x0141u, XenErrno.ESRCH, -1, -1)]
    [InlineData(0xfee00000UL, 0x0241u, XenErrno.EINVAL, -1, -1)]
    [InlineData(0xfee00000UL, 0x0000u, XenErrno.ERANGE, -1, -1)]
    public void InjectMsi_ReachesTheAddressedVcpus(ulong address, uint data, XenErrno expected, int first, int second)
    {
        using var model = New(vcpus: 2);
        Assert.Equal(Errno(expected), model.DmOp(DmOp.Command.InjectMsi, call => call.Value.InjectMsi = new DmOp.InjectMsi { Addr = address, Data = data }));
        Assert.Equal(first <= 0 ? -1 : first, model.Guest.Vcpus[0].Apic.TryTake(out byte vector) ? vector : -1);
        Assert.Equal(second <= 0 ? -1 : second, model.Guest.Vcpus[1].Apic.TryTake(out vector) ? vector : -1);
    }

    [Fact]
    public void InjectEvent_IsOneAtATime()
    {
        using var model = New();
        Assert.Equal(Errno(XenErrno.EINVAL), Inject(7));
        Assert.Equal(0, Inject(0));
        Assert.Equal(Errno(XenErrno.EBUSY), Inject(0));
        Assert.Equal(14, model.Vcpu.TakeInjected()!.Value.Vector);
        Assert.Equal(0, Inject(0));

        int Inject(uint vcpu) => model.DmOp(DmOp.Command.InjectEvent, call =>
            call.Value.InjectEvent = new DmOp.InjectEvent { VcpuId = vcpu, Vector = 14, Type = DmOp.EventType.HwExc });
    }

    [Fact]
    public void Intx_DrivesSharedLines_WithEoi()
    {
        using var model = New(DomainType.HVM);
        int gsi = InterruptLines.GsiOf(4, 0);
        Assert.Equal(32, gsi);
        model.Guest.Interrupts.Redirect(gsi, new InterruptLines.Redirection(0x51, 0, Level: true, Masked: false));
        Assert.Equal(0, Level(4, 0, 1));
        Assert.Equal(0, Level(4, 0, 1));
        Assert.Equal(1, model.Guest.Interrupts.Asserted(gsi));
        Assert.True(model.Vcpu.Apic.TryTake(out byte vector));
        Assert.Equal(0x51, vector);
        Assert.False(model.Vcpu.Apic.TryTake(out _));
        model.Guest.Interrupts.EndOfInterrupt(0x51);
        Assert.True(model.Vcpu.Apic.TryTake(out _));
        Assert.Equal(0, Level(4, 0, 0));
        model.Guest.Interrupts.EndOfInterrupt(0x51);
        Assert.False(model.Vcpu.Apic.TryTake(out _));
        Assert.Equal(Errno(XenErrno.EINVAL), Level(32, 0, 1));
        Assert.Equal(Errno(XenErrno.EINVAL), Level(4, 4, 1));
        Assert.Equal(Errno(XenErrno.EINVAL), Level(4, 0, 2));

        int Level(byte device, byte intx, byte level) => model.DmOp(DmOp.Command.SetPciIntxLevel, call =>
            call.Value.SetPciIntxLevel = new DmOp.SetPciIntxLevel { Device = device, Intx = intx, Level = level });
    }

    [Fact]
    public void IsaEdge_NeedsAPulse()
    {
        using var model = New(DomainType.HVM);
        model.Guest.Interrupts.Redirect(5, new InterruptLines.Redirection(0x35, 0, Level: false, Masked: false));
        Level(1);
        Assert.True(model.Vcpu.Apic.TryTake(out _));
        Level(1);
        Assert.False(model.Vcpu.Apic.TryTake(out _));
        Level(0);
        Level(1);
        Assert.True(model.Vcpu.Apic.TryTake(out _));

        void Level(byte level) => Assert.Equal(0, model.DmOp(DmOp.Command.SetIsaIrqLevel, call =>
            call.Value.SetIsaIrqLevel = new DmOp.SetIsaIrqLevel { IsaIrq = 5, Level = level }));
    }

    [Fact]
    public void Arm_HasItsOwnOperations()
    {
        using var model = New(options: new HypervisorOptions { Architecture = Architecture.Arm });
        Assert.Equal(0, model.DmOp(DmOp.Command.SetIrqLevel, call => call.Value.SetIrqLevel = new DmOp.SetIrqLevel { Irq = 33, Level = 1 }));
        Assert.True(model.Guest.Interrupts.SpiLevel(33));
        Assert.Equal(Errno(XenErrno.EINVAL), model.DmOp(DmOp.Command.SetIrqLevel, call => call.Value.SetIrqLevel.Irq = 31));
        Assert.Equal(Errno(XenErrno.EOPNOTSUPP), model.DmOp(DmOp.Command.InjectMsi));
        Assert.Equal(Errno(XenErrno.EINVAL), model.DmOp(DmOp.Command.CreateIoreqServer, call => call.Value.CreateIoreqServer.HandleBufioreq = DmOp.BufferedIoreq.Legacy));
        Assert.Equal(0, model.DmOp(DmOp.Command.CreateIoreqServer));
        Assert.Equal(Errno(XenErrno.EOPNOTSUPP), model.DmOp(DmOp.Command.GetIoreqServerInfo));
    }

    [Fact]
    public void Call_WrongForms_AnswerInXensOrder()
    {
        using var model = New();
        Domain pv = model.Xen.CreateDomain(new DomainOptions { Name = "pv", Type = DomainType.PV, MemoryMiB = 1 });
        Assert.Equal(Errno(XenErrno.EOPNOTSUPP), model.DmOp(DmOp.Command.SetIrqLevel));
        Assert.Equal(Errno(XenErrno.EOPNOTSUPP), model.DmOp(0));
        Assert.Equal(Errno(XenErrno.EOPNOTSUPP), model.DmOp((DmOp.Command)21));
        Assert.Equal(Errno(XenErrno.EINVAL), model.DmOp(DmOp.Command.NrVcpus, call => call.Value.Pad = 1));
        var call = new DmOp.Call { Op = DmOp.Command.NrVcpus };
        Assert.Equal(Errno(XenErrno.ESRCH), model.Privcmd.DmOp(Domid.Self, ref call));
        Assert.Equal(Errno(XenErrno.EPERM), model.Privcmd.DmOp(0, ref call));
        Assert.Equal(Errno(XenErrno.EINVAL), model.Privcmd.DmOp(pv.Id, ref call));
        Assert.Equal(0, model.Privcmd.DmOp(model.Domid, ref call));
        Assert.Equal(1u, call.NrVcpus.Vcpus);
    }

    [Fact]
    public void SetMemType_MakesPagesReadOnly_AndForwardsWrites()
    {
        using var model = New();
        Assert.Equal(0, Type(3, 1, HvmOp.MemType.RamRo));
        model.Vcpu.Io.MmioWrite(3 << 12, 4, 5);
        Assert.Equal(0u, model.Guest.Memory.Read<uint>(3 << 12));
        Assert.Equal(0, Type(3, 1, HvmOp.MemType.RamRw));
        model.Vcpu.Io.MmioWrite(3 << 12, 4, 5);
        Assert.Equal(5u, model.Guest.Memory.Read<uint>(3 << 12));
        Assert.Equal(Errno(XenErrno.EINVAL), Type(3, 1, (HvmOp.MemType)3));
        Assert.Equal(Errno(XenErrno.EINVAL), Type(0x200000, 1, HvmOp.MemType.RamRo));
        model.Xen.Faults.PageOut(model.Domid, 7, 1);
        Assert.Equal(Errno(XenErrno.EAGAIN), Type(7, 1, HvmOp.MemType.RamRo));

        int Type(ulong first, uint count, HvmOp.MemType type) => model.DmOp(DmOp.Command.SetMemType, call =>
            call.Value.SetMemType = new DmOp.SetMemType { FirstPfn = first, Nr = count, MemType = type });
    }
}
