using System.Runtime.InteropServices;
using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Kernel.Sockets;
using XenModel.Domains;
using XenModel.Server;
using XenModel.Store;
using Xunit;
using static XenModel.Tests.ModelFixture;

namespace XenModel.Tests;

public sealed class ServerTests : IAsyncDisposable
{
    private readonly string _path = Path.Combine(Path.GetTempPath(), $"xenmodel-{Guid.NewGuid():n}");
    private readonly Hypervisor _xen = new();
    private readonly XenStoreDaemon _store;
    private readonly ModelServer _server;
    private readonly Domain _guest;

    public ServerTests()
    {
        _store = new XenStoreDaemon(_xen);
        _server = new ModelServer(_xen, _path, _store);
        _guest = _xen.CreateDomain(new DomainOptions { Name = "guest", MemoryMiB = 4, Paused = false });
    }

    private SocketXenKernel Kernel => new(_path);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public void Connection_ThatEnds_GivesBackEverything()
    {
        IPrivcmd privcmd = Kernel.OpenPrivcmd();
        IGntdev gntdev = Kernel.OpenGntdev();
        XenMapping mapping = privcmd.MapForeign(_guest.Id, [1, 2, 3], 3, new int[3], TimeSpan.Zero);
        uint reference;
        lock (_xen.Gate) Assert.True(_guest.GrantAllocator.TryGrant(0, 5, false, out reference));
        Assert.Equal(0, gntdev.Map([new(_guest.Id, reference)], writable: true, out _));
        _xen.DestroyDomain(_guest.Id);
        privcmd.Dispose();
        gntdev.Dispose();
        mapping.Dispose();
        Assert.Single(_xen.Domains);
        Assert.Equal(0, _server.ConnectionCount);
    }

    [Fact]
    public void Requests_AfterTheServerWent_FailClearly()
    {
        IPrivcmd privcmd = Kernel.OpenPrivcmd();
        IEvtchn evtchn = Kernel.OpenEvtchn();
        _server.Dispose();
        var call = new DmOp.Call { Op = DmOp.Command.NrVcpus };
        Assert.Equal(Errno(XenErrno.EIO), privcmd.DmOp(_guest.Id, ref call));
        Assert.Equal(LibC.EIO, Assert.Throws<XenException>(() => evtchn.BindUnbound(_guest.Id)).Errno);
        privcmd.Dispose();
        evtchn.Dispose();
        Assert.Equal(LibC.ENOENT, Assert.Throws<XenException>(() => Kernel.OpenPrivcmd()).Errno);
    }

    [Fact]
    public void Open_ForADomainThatIsNot_IsEsrch() =>
        Assert.Equal(LibC.ESRCH, Assert.Throws<XenException>(() => new SocketXenKernel(_path, 99).OpenPrivcmd()).Errno);

    [Fact]
    public void MapForeign_ManyRuns_FitsOneRequest()
    {
        using IPrivcmd privcmd = Kernel.OpenPrivcmd();
        ulong[] gfns = [.. Enumerable.Range(0, 512).Select(i => (ulong)(1023 - i * 2))];
        foreach (ulong gfn in gfns) _guest.Memory.Write(gfn << 12, gfn);
        using XenMapping mapping = privcmd.MapForeign(_guest.Id, gfns, LibC.PROT_READ, new int[512], TimeSpan.Zero);
        for (int i = 0; i < gfns.Length; i++) Assert.Equal(gfns[i], MemoryMarshal.Read<ulong>(mapping.Memory.Span[(i * 4096)..]));
    }

    [Fact]
    public async Task Xenstore_IsReachedThroughTheSocket()
    {
        await using XenMemoryProvider.Store.XenStore store = XenMemoryProvider.Store.XenStore.Open(Kernel);
        Assert.Equal("guest", await store.ReadAsync($"/local/domain/{_guest.Id}/name", Cancel));
        await using XenMemoryProvider.Store.XenStore own = XenMemoryProvider.Store.XenStore.Open(new SocketXenKernel(_path, _guest.Id));
        Assert.Equal("guest", await own.ReadAsync("name", Cancel));
        await Assert.ThrowsAsync<XenException>(() => own.WriteAsync("name", "x", Cancel));
    }

    [Fact]
    public void Commands_ManageDomainsAndFaults()
    {
        Assert.Contains("guest", Kernel.Command("list"));
        Assert.Equal("domain 2 created", Kernel.Command("create name=vm2,memory=8,vcpus=2,type=hvm"));
        Domain created = _xen.Find("vm2")!;
        Assert.Equal((DomainType.HVM, 2, true), (created.Type, created.Vcpus.Count, created.IsPaused));
        Assert.Equal("unpaused", Kernel.Command("unpause vm2"));
        Assert.False(created.IsPaused);
        Assert.Equal("armed", Kernel.Command("fail-page guest 1 ENOMEM"));
        using IPrivcmd privcmd = Kernel.OpenPrivcmd();
        int[] errors = new int[3];
        privcmd.MapForeign(_guest.Id, [1, 2, 3], 3, errors, TimeSpan.Zero).Dispose();
        Assert.Equal([0, -LibC.ENOMEM, 0], errors);
        Assert.Equal("4 pages out", Kernel.Command("page-out guest 0x10 4"));
        errors = new int[4];
        privcmd.MapForeign(_guest.Id, [16, 17, 18, 19], 3, errors, Deadline).Dispose();
        Assert.Equal([0, 0, 0, 0], errors);
        Assert.Equal("destroyed", Kernel.Command("kill-domain vm2"));
        Assert.Equal("nothing was held", Kernel.Command("release-event guest 1"));
        Assert.Contains("page-out", Kernel.Command("help"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("nonsense")]
    [InlineData("pause nobody")]
    [InlineData("fail-page guest x")]
    [InlineData("fail-page guest 1 EWHAT")]
    [InlineData("create name=guest")]
    [InlineData("create memory=999999999999")]
    [InlineData("create color=red")]
    [InlineData("destroy 0")]
    public void Commands_ThatMakeNoSense_SayWhy(string line)
    {
        XenException refused = Assert.Throws<XenException>(() => Kernel.Command(line));
        Assert.Equal(LibC.EINVAL, refused.Errno);
        Assert.Contains(". ", refused.Message);
    }

    [Fact]
    public void MalformedRequests_EndTheirConnectionOnly()
    {
        using IPrivcmd privcmd = Kernel.OpenPrivcmd();
        var random = new Random(11);
        Array devices = Enum.GetValues<WireDevice>();
        WireOp[] ops = Enum.GetValues<WireOp>();
        for (int i = 0; i < 600; i++)
        {
            using FileDescriptor socket = FdSocket.Connect(_path);
            byte[] open = new byte[24];
            MemoryMarshal.Write(open, 8u);
            MemoryMarshal.Write(open.AsSpan(4), (uint)WireOp.Open);
            MemoryMarshal.Write(open.AsSpan(16), (uint)(WireDevice)devices.GetValue(i % devices.Length)!);
            Assert.Equal(24, FdSocket.SendWithFds(socket, open, default));
            byte[] body = new byte[random.Next(120)];
            random.NextBytes(body);
            for (int at = 0; at + 4 <= body.Length; at += 4)
            {
                if (random.Next(3) != 0) MemoryMarshal.Write(body.AsSpan(at), (uint)random.Next(4));
            }

            byte[] request = new byte[16 + body.Length];
            MemoryMarshal.Write(request, random.Next(20) == 0 ? uint.MaxValue : (uint)body.Length);
            MemoryMarshal.Write(request.AsSpan(4), (uint)ops[random.Next(ops.Length)]);
            body.CopyTo(request, 16);
            FdSocket.SendWithFds(socket, request, default, LibC.MSG_DONTWAIT);
        }

        var call = new DmOp.Call { Op = DmOp.Command.NrVcpus };
        Assert.Equal(0, privcmd.DmOp(_guest.Id, ref call));
        Eventually(() => _server.ConnectionCount == 1);
    }

    [Fact]
    public void DescriptorsInARequest_EndTheConnection()
    {
        using FileDescriptor socket = FdSocket.Connect(_path);
        byte[] open = new byte[24];
        MemoryMarshal.Write(open, 8u);
        MemoryMarshal.Write(open.AsSpan(4), (uint)WireOp.Open);
        MemoryMarshal.Write(open.AsSpan(16), (uint)WireDevice.Privcmd);
        FdSocket.SendWithFds(socket, open, [socket.Value]);
        var received = new List<FileDescriptor>();
        Assert.True(FdSocket.ReceiveWithFds(socket, new byte[1], received, 0, 0, out _) <= 0);
    }

    [Fact]
    public void Clients_ThatVanish_LeaveNoDescriptors()
    {
        int before = Directory.GetFileSystemEntries("/proc/self/fd").Length;
        for (int i = 0; i < 200; i++)
        {
            using IEvtchn evtchn = Kernel.OpenEvtchn();
            using IPrivcmd privcmd = Kernel.OpenPrivcmd();
            evtchn.BindVirq(Virq.DomExc);
            using XenMapping mapping = privcmd.MapForeign(_guest.Id, [1, 5], 3, new int[2], TimeSpan.Zero);
        }

        Eventually(() => _server.ConnectionCount == 0);
        Assert.InRange(Directory.GetFileSystemEntries("/proc/self/fd").Length, 0, before + 40); // Other tests run beside this one.
        Assert.Empty(_xen.Dom0.Events.Open);
    }

    public async ValueTask DisposeAsync()
    {
        _server.Dispose();
        await _store.DisposeAsync();
        _xen.Dispose();
    }
}
