using System.Runtime.CompilerServices;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Kernel.Sockets;
using XenModel.Domains;
using XenModel.Drivers;
using XenModel.Server;
using Xunit;

namespace XenModel.Tests;

/// <summary>A Xen with one guest, and domain 0's devices.</summary>
internal sealed class ModelFixture : IDisposable
{
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly string? _path;
    private readonly ModelServer? _server;

    public ModelFixture(DomainType type = DomainType.PVH, int vcpus = 1, HypervisorOptions? options = null, int memoryMiB = 4, bool overSocket = false)
    {
        Xen = new Hypervisor(options);
        Guest = Xen.CreateDomain(new DomainOptions { Name = "guest", Type = type, MemoryMiB = memoryMiB, Vcpus = vcpus, Paused = false });
        if (overSocket)
        {
            _path = Path.Combine(Path.GetTempPath(), $"xenmodel-{Guid.NewGuid():n}");
            _server = new ModelServer(Xen, _path);
        }

        Kernel = KernelOf(Xen.Dom0);
        Privcmd = Kernel.OpenPrivcmd();
        Evtchn = Kernel.OpenEvtchn();
    }

    public Hypervisor Xen { get; }

    public Domain Guest { get; }

    public ushort Domid => Guest.Id;

    public Vcpu Vcpu => Guest.Vcpus[0];

    public IXenKernel Kernel { get; }

    public IPrivcmd Privcmd { get; }

    public IEvtchn Evtchn { get; }

    /// <summary>The devices of a Linux in a domain.</summary>
    public IXenKernel KernelOf(Domain domain) => _path is null ? new ModelXenKernel(Xen, domain) : new SocketXenKernel(_path, domain.Id);

    public static void Eventually(Func<bool> condition) => Assert.True(SpinWait.SpinUntil(condition, Deadline), "the deadline passed");

    public static int Errno(XenErrno error) => -(int)error;

    public int DmOp(DmOp.Command op, Action<Ref<DmOp.Call>>? fill = null) => DmOp(op, out _, fill);

    public int DmOp(DmOp.Command op, out DmOp.Call call, Action<Ref<DmOp.Call>>? fill = null)
    {
        call = new DmOp.Call { Op = op };
        var holder = new Ref<DmOp.Call>(call);
        fill?.Invoke(holder);
        call = holder.Value;
        return Privcmd.DmOp(Domid, ref call);
    }

    /// <summary>Pages of the guest in this process.</summary>
    public XenMapping Map(params ulong[] gfns)
    {
        int[] errors = new int[gfns.Length];
        XenMapping mapping = Privcmd.MapForeign(Domid, gfns, 3, errors, TimeSpan.Zero);
        Assert.All(errors, error => Assert.Equal(0, error));
        return mapping;
    }

    public int[] MapErrors(ushort domid, params ulong[] gfns)
    {
        int[] errors = new int[gfns.Length];
        Privcmd.MapForeign(domid, gfns, 3, errors, TimeSpan.Zero).Dispose();
        return errors;
    }

    /// <summary>The guest gives pages back.</summary>
    public unsafe int Balloon(params ulong[] gfns) => Reservation(MemoryOp.Command.DecreaseReservation, gfns);

    public unsafe int Populate(params ulong[] gfns) => Reservation(MemoryOp.Command.PopulatePhysmap, gfns);

    public void Dispose()
    {
        Evtchn.Dispose();
        Privcmd.Dispose();
        _server?.Dispose();
        Xen.Dispose();
    }

    private unsafe int Reservation(MemoryOp.Command command, ulong[] gfns)
    {
        int header = sizeof(MemoryOp.Reservation);
        byte[] bytes = new byte[header + gfns.Length * sizeof(ulong)];
        const ulong address = 0x1000;
        var reservation = new MemoryOp.Reservation { ExtentStart = address + (ulong)header, NrExtents = (ulong)gfns.Length, Domid = XenMemoryProvider.Abi.Domid.Self };
        Unsafe.WriteUnaligned(ref bytes[0], reservation);
        Buffer.BlockCopy(gfns, 0, bytes, header, gfns.Length * sizeof(ulong));
        return Vcpu.Hypercall(Hypercall.MemoryOp, (ulong)command, address, 0, new CallerMemory(bytes, address));
    }
}

/// <summary>A value that a lambda can fill in.</summary>
internal sealed class Ref<T>(T value)
{
    public T Value = value;
}
