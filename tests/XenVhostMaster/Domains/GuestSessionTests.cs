using TestKit;
using XenModel.Domains;
using XenVhostMaster.Domains;
using XenVhostMaster.Transports;
using XenVhostMaster.Transports.Pci;
using static XenVhostMaster.Tests.Domains.ModelRig;

namespace XenVhostMaster.Tests.Domains;

/// <summary>The master with everything around it: a hypervisor that keeps Xen's rules, a guest's driver, back-ends.</summary>
public class GuestSessionTests
{
    [Fact]
    public async Task Echo_ThroughTwoQueues_ComesBackWithOneInterruptEach()
    {
        await using var rig = new ModelRig();
        (_, SocketBackend backend) = await rig.EchoAsync();
        await Task.Run(() =>
        {
            for (int i = 0; i < 50; i++)
                rig.Driver.Echo(i & 1, Deadline);
        }).WaitAsync(Deadline);

        Assert.Equal(1, backend.Sessions);
        AttachedDevice device = Assert.Single(rig.Session.Devices);
        Assert.Equal(50, device.Link.Kicks);
        Assert.Empty(rig.Log.Complaints);
        Assert.Empty(rig.BackendLog.Complaints);
    }

    [Fact]
    public async Task Bus_OfAPvhGuest_HasAHostBridgeAndTheDevices()
    {
        await using var rig = new ModelRig();
        await rig.BackendAsync("a", new EchoDevice());
        await rig.BackendAsync("b", new EchoDevice());
        await rig.AttachAsync(rig.Device("a"), rig.Device("b", slot: 5));
        uint[] ids = await Task.Run(() => Enumerable.Range(0, 32).Select(slot => rig.Guest.Vcpus[0].Io.ConfigRead(0, slot, 0, 0, 4)).ToArray()).WaitAsync(Deadline);

        Assert.Equal((0x1237_8086u, 0x106a_1af4u, 0x106a_1af4u), (ids[0], ids[1], ids[5]));
        Assert.Equal(29, ids.Count(static id => id == uint.MaxValue));
        Assert.Equal(0x8000_0000u, await Task.Run(() =>
        {
            rig.Guest.Vcpus[0].Io.PortWrite(0xcf8, 4, 0x8000_0000);
            return rig.Guest.Vcpus[0].Io.PortRead(0xcf8, 4);
        }).WaitAsync(Deadline));
    }

    [Fact]
    public async Task Reset_WithRequestsInFlight_ReadsZeroOnlyAfterTheyCameBack()
    {
        await using var rig = new ModelRig();
        (EchoDevice device, _) = await rig.EchoAsync();
        device.Hold = true;
        await Task.Run(() =>
        {
            rig.Driver.Send(0, [1, 2, 3]);
            rig.Driver.Common(VirtioPciLayout.DeviceStatus, 1, 0);
            Assert.NotEqual(VirtioStatus.None, rig.Driver.Status);
        }).WaitAsync(Deadline);
        device.Release();
        await Task.Run(() =>
        {
            rig.Driver.BringUp(Deadline);
            rig.Driver.Echo(0, Deadline);
        }).WaitAsync(Deadline);

        Assert.True(device.Resets >= 1);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task BackEnd_ThatDies_IsFoundAgainAndRequestsGoOn(bool inflight)
    {
        await using var rig = new ModelRig();
        var options = new VhostUser.Session.SessionOptions
        {
            WithoutProtocolFeatures = inflight ? VhostUser.Protocol.ProtocolFeatures.None : VhostUser.Protocol.ProtocolFeatures.InflightShmFd,
        };
        (EchoDevice device, SocketBackend backend) = await rig.EchoAsync(options);
        await Task.Run(() => rig.Driver.Echo(0, Deadline)).WaitAsync(Deadline);
        await backend.DisposeAsync();
        Assert.Equal(0, device.Held);
        await Task.Run(() => rig.Driver.Send(0, [7, 8, 9])).WaitAsync(Deadline);
        await rig.BackendAsync("echo", new EchoDevice(), options);

        Assert.Equal(new byte[] { 7, 8, 9 }, await Task.Run(() => rig.Driver.Receive(0, Deadline)).WaitAsync(Deadline));
        await Task.Run(() => rig.Driver.Echo(1, Deadline)).WaitAsync(Deadline);
        Assert.Equal(1, rig.Session.Devices[0].Link.Reconnections);
    }

    [Fact]
    public async Task BackEnd_WithoutWhatTheGuestUses_MakesTheDeviceAskForAReset()
    {
        await using var rig = new ModelRig();
        var echo = new EchoDevice();
        SocketBackend backend = await rig.BackendAsync("echo", echo);
        await rig.AttachAsync(rig.Device("echo"));
        await Task.Run(() => rig.Driver.BringUp(Deadline, features: 1UL << 32 | 1UL << 29)).WaitAsync(Deadline);
        await backend.DisposeAsync();
        await rig.BackendAsync("echo", new EchoDevice(), new VhostUser.Session.SessionOptions { EventIdx = false });
        await Task.Run(() =>
        {
            rig.Driver.WaitForInterrupt(rig.Driver.ConfigVector, Deadline);
            Assert.True((rig.Driver.Status & VirtioStatus.NeedsReset) != 0);
            rig.Driver.BringUp(Deadline);
            rig.Driver.Echo(0, Deadline);
        }).WaitAsync(Deadline);
    }

    [Fact]
    public async Task Config_ChangedByTheBackEnd_InterruptsTheDriver()
    {
        await using var rig = new ModelRig();
        (EchoDevice device, _) = await rig.EchoAsync();
        ulong generation = await Task.Run(() => rig.Driver.Common(VirtioPciLayout.ConfigGeneration, 1)).WaitAsync(Deadline);
        device.Config[3] = 0x5a;
        device.ChangeConfig();
        await Task.Run(() =>
        {
            rig.Driver.WaitForInterrupt(rig.Driver.ConfigVector, Deadline);
            Assert.Equal(0x5aul, rig.Driver.DeviceConfig(3, 1));
            Assert.NotEqual(generation, rig.Driver.Common(VirtioPciLayout.ConfigGeneration, 1));
        }).WaitAsync(Deadline);
    }

    [Fact]
    public async Task Config_WrittenByTheDriver_ReachesTheBackEnd()
    {
        await using var rig = new ModelRig();
        (EchoDevice device, _) = await rig.EchoAsync();
        await Task.Run(() =>
        {
            rig.Driver.WriteDeviceConfig(8, 2, 0xabcd);
            Assert.Equal(0xabcdul, rig.Driver.DeviceConfig(8, 2));

            // A reset is carried out after what was ordered before it.
            rig.Driver.Reset(Deadline);
        }).WaitAsync(Deadline);

        Assert.Equal((0xcd, 0xab), (device.Config[8], device.Config[9]));
    }

    [Fact]
    public async Task QueueReset_StopsOneQueueAndStartsItAgain()
    {
        await using var rig = new ModelRig();
        await rig.BackendAsync("echo", new EchoDevice());
        await rig.AttachAsync(rig.Device("echo"));
        await Task.Run(() =>
        {
            rig.Driver.BringUp(Deadline, features: 1UL << 32 | 1UL << 40);
            rig.Driver.Echo(1, Deadline);
            rig.Driver.Common(VirtioPciLayout.QueueSelect, 2, 1);
            rig.Driver.Common(VirtioPciLayout.QueueReset, 2, 1);
            while (rig.Driver.Common(VirtioPciLayout.QueueReset, 2) != 0)
                rig.Guest.Vcpus[0].Domain.Memory.Read<byte>(0);

            rig.Driver.Echo(0, Deadline);
            rig.Driver.SetUp(1);
            rig.Driver.Echo(1, Deadline);
        }).WaitAsync(Deadline);
    }

    [Fact]
    public async Task Rings_OutsideMemory_FailTheDeviceAndNothingElse()
    {
        await using var rig = new ModelRig();
        await rig.BackendAsync("echo", new EchoDevice());
        await rig.BackendAsync("other", new EchoDevice());
        await rig.AttachAsync(rig.Device("echo"), rig.Device("other"));
        var other = new PciDriver(rig.Guest, 2);
        await Task.Run(() =>
        {
            other.BringUp(Deadline);
            rig.Driver.BringUp(Deadline, queues: 0);
            rig.Driver.Reset(Deadline);
            rig.Driver.Common(VirtioPciLayout.DeviceStatus, 1, 3);
            rig.Driver.Common(VirtioPciLayout.DriverFeatureSelect, 4, 1);
            rig.Driver.Common(VirtioPciLayout.DriverFeature, 4, 1);
            rig.Driver.Common(VirtioPciLayout.DeviceStatus, 1, 0xb);
            rig.Driver.Common(VirtioPciLayout.ConfigMsixVector, 2, 0);
            rig.Driver.Common(VirtioPciLayout.QueueDesc, 8, 0xffff_ffff_ffff_f000);
            rig.Driver.Common(VirtioPciLayout.QueueEnable, 2, 1);
            rig.Driver.Common(VirtioPciLayout.DeviceStatus, 1, 0xf);
            rig.Driver.WaitForInterrupt(rig.Driver.ConfigVector, Deadline);
            Assert.True((rig.Driver.Status & VirtioStatus.NeedsReset) != 0);
            other.Echo(0, Deadline);
        }).WaitAsync(Deadline);
    }

    [Fact]
    public async Task Ballooning_WhileRunning_HasTheBackEndLetGoBeforeTheGuestGoesOn()
    {
        await using var rig = new ModelRig();
        await rig.EchoAsync();
        await Task.Run(() => rig.Driver.Echo(0, Deadline)).WaitAsync(Deadline);
        int before = rig.Guest.RamPages;
        await Task.Run(() => Assert.Equal(1, Reserve(rig.Guest, XenMemoryProvider.Abi.MemoryOp.Command.DecreaseReservation, 0x800))).WaitAsync(Deadline);

        // The page is free again only when nobody maps it any more, and the hypercall has only just returned.
        Assert.Equal(before - 1, rig.Guest.RamPages);
        Assert.Equal(1, rig.Session.Counters.Invalidates);
        await Task.Run(() => rig.Driver.Echo(1, Deadline)).WaitAsync(Deadline);
    }

    [Fact]
    public async Task HvmGuest_BesideQemu_GetsPinInterruptsAndNoBridge()
    {
        await using var rig = new ModelRig(DomainType.HVM);
        await rig.BackendAsync("echo", new EchoDevice());
        GuestSession session = await rig.AttachAsync(rig.Device("echo"));
        Assert.Equal(16, session.Devices[0].Slot);
        await Task.Run(() =>
        {
            XenModel.Ioreq.VcpuIo io = rig.Guest.Vcpus[0].Io;
            Assert.Equal(uint.MaxValue, io.ConfigRead(0, 0, 0, 0, 4));
            Assert.Equal(0x106a_1af4u, io.ConfigRead(0, 16, 0, 0, 4));
            Assert.Equal(1u, io.ConfigRead(0, 16, 0, 0x3d, 1));

            // Firmware sizes and places the BAR.
            io.ConfigWrite(0, 16, 0, 0x10, 4, uint.MaxValue);
            Assert.Equal(0xffff_0000u, io.ConfigRead(0, 16, 0, 0x10, 4));
            io.ConfigWrite(0, 16, 0, 0x10, 4, 0xf000_0000);
            io.ConfigWrite(0, 16, 0, 4, 2, 2);
            Assert.Equal(2ul, io.MmioRead(0xf000_0000 + VirtioPciLayout.NumQueues, 2));
        }).WaitAsync(Deadline);
    }

    [Fact]
    public async Task HotPlug_AddsAndRemovesAFunctionUnderARunningGuest()
    {
        await using var rig = new ModelRig();
        await rig.EchoAsync();
        await rig.BackendAsync("more", new EchoDevice());
        AttachedDevice added = await rig.Session.AttachAsync(rig.Device("more"), CancellationToken.None).WaitAsync(Deadline);
        Assert.Equal(2, added.Slot);
        var driver = new PciDriver(rig.Guest, 2);
        await Task.Run(() =>
        {
            driver.BringUp(Deadline);
            driver.Echo(0, Deadline);
        }).WaitAsync(Deadline);

        await rig.Session.DetachAsync(added).WaitAsync(Deadline);
        await Task.Run(() =>
        {
            Assert.Equal(uint.MaxValue, driver.Config(0, 4));
            Assert.Equal(uint.MaxValue, rig.Guest.Vcpus[0].Io.MmioRead(driver.Bar, 4) & uint.MaxValue);
            rig.Driver.Echo(0, Deadline);
        }).WaitAsync(Deadline);
    }

    [Fact]
    public async Task Attach_AfterADeadMaster_DestroysItsServerAndNoOther()
    {
        await using var rig = new ModelRig();
        await rig.BackendAsync("echo", new EchoDevice());
        using XenMemoryProvider.Kernel.IPrivcmd privcmd = rig.Kernel.OpenPrivcmd();
        var model = new XenMemoryProvider.Ioreq.DeviceModel(privcmd, rig.Guest.Id);
        ushort qemus = model.CreateIoreqServer(XenMemoryProvider.Abi.DmOp.BufferedIoreq.Atomic);

        // A master that dies: its server stays, and the note about it.
        using var events = new XenMemoryProvider.Events.EventChannels(rig.Kernel.OpenEvtchn());
        XenMemoryProvider.Ioreq.IoreqServer left = XenMemoryProvider.Ioreq.IoreqServer.Create(model, events);
        await new XenMemoryProvider.Ioreq.IoreqServerLedger(rig.Store).RecordAsync(left);

        await rig.AttachAsync(rig.Device("echo"));
        Assert.Equal([qemus, left.Id], XenMemoryProvider.Ioreq.IoreqServerLedger.Find(model));
        Assert.Contains(rig.Log.Lines, static line => line.Contains("left by a dead process"));
        await rig.DetachAsync();
        Assert.Equal([qemus], XenMemoryProvider.Ioreq.IoreqServerLedger.Find(model));
    }

    private static int Reserve(Domain guest, XenMemoryProvider.Abi.MemoryOp.Command command, ulong frame)
    {
        const ulong address = 0x1000;
        byte[] bytes = new byte[40];
        var reservation = new XenMemoryProvider.Abi.MemoryOp.Reservation { ExtentStart = address + 32, NrExtents = 1, Domid = XenMemoryProvider.Abi.Domid.Self };
        System.Runtime.CompilerServices.Unsafe.WriteUnaligned(ref bytes[0], reservation);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(32), frame);
        return guest.Vcpus[0].Hypercall(XenMemoryProvider.Abi.Hypercall.MemoryOp, (ulong)command, address, 0, new CallerMemory(bytes, address));
    }
}
