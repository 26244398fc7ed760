using System.Runtime.InteropServices;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenModel.Domains;
using XenModel.Drivers;
using Xunit;
using IoreqSlot = XenMemoryProvider.Abi.Ioreq;

namespace XenModel.Tests;

/// <summary>Callers that send garbage: every answer is a number, nothing of another domain changes, and all ends cleanly.</summary>
public sealed class HostileTests
{
    private const int BufferSize = 512;

    private static readonly Hypercall[] Numbers =
    [
        Hypercall.MemoryOp, Hypercall.GrantTableOp, Hypercall.EventChannelOp, Hypercall.HvmOp, Hypercall.DmOp, Hypercall.XenVersion, (Hypercall)61,
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void RandomHypercalls_OfAGuest_HurtNobodyElse(int seed)
    {
        using var xen = new Hypervisor();
        Domain guest = xen.CreateDomain(new DomainOptions { Name = "hostile", MemoryMiB = 2, Vcpus = 2, Paused = false });
        Domain victim = xen.CreateDomain(new DomainOptions { Name = "victim", MemoryMiB = 2, Paused = false });
        byte[] pattern = new byte[2 << 20];
        new Random(99).NextBytes(pattern);
        Assert.True(victim.Memory.TryWrite(0, pattern));
        int pages = victim.RamPages;
        var random = new Random(seed);
        byte[] buffer = new byte[BufferSize];
        for (int i = 0; i < 30_000 && guest.Shutdown is null; i++)
        {
            ulong address = Fill(random, buffer);
            Hypercall number = Numbers[random.Next(Numbers.Length)];
            guest.Vcpus[random.Next(2)].Hypercall(number, (ulong)random.Next(32), address, (ulong)random.Next(4), new CallerMemory(buffer, 0x10000));
        }

        byte[] after = new byte[pattern.Length];
        Assert.True(victim.Memory.TryRead(0, after));
        Assert.True(pattern.AsSpan().SequenceEqual(after));
        Assert.Equal(pages, victim.RamPages);
        Assert.Null(victim.Shutdown);
        Assert.Equal(0, victim.Grants.ActiveCount);
        Assert.True(xen.DestroyDomain(guest.Id));
        Assert.True(xen.DestroyDomain(victim.Id));
        Assert.Single(xen.Domains);
    }

    [Theory]
    [InlineData(4)]
    [InlineData(5)]
    public void RandomHypercalls_OfDomain0_LeaveNothingBehind(int seed)
    {
        using var xen = new Hypervisor();
        Domain guest = xen.CreateDomain(new DomainOptions { MemoryMiB = 2, Type = seed % 2 == 0 ? DomainType.HVM : DomainType.PVH, Paused = false });
        using IPrivcmd privcmd = new ModelXenKernel(xen).OpenPrivcmd();
        using HypercallBuffer buffer = privcmd.AllocateBuffer(BufferSize);
        var random = new Random(seed);
        byte[] bytes = new byte[BufferSize];
        for (int i = 0; i < 30_000; i++)
        {
            Fill(random, bytes);
            buffer.Reset();
            ulong handle = buffer.Put<byte>(bytes);
            bool pointer = random.Next(10) != 0;
            Hypercall number = Numbers[random.Next(Numbers.Length)];
            var call = new Privcmd.Hypercall
            {
                Op = (ulong)number,
                Arg0 = number == Hypercall.DmOp ? guest.Id : (ulong)random.Next(32),
                Arg1 = number == Hypercall.DmOp ? (ulong)random.Next(4) : pointer ? handle : (ulong)random.NextInt64(),
                Arg2 = number == Hypercall.DmOp ? handle : (ulong)random.Next(4),
            };
            privcmd.Hypercall(call, buffer);

            var dmOp = new DmOp.Call();
            Fill(random, MemoryMarshal.AsBytes(new Span<DmOp.Call>(ref dmOp)));
            dmOp.Op = (DmOp.Command)random.Next(22);
            dmOp.Pad = random.Next(8) == 0 ? 1u : 0;
            if (dmOp.Op != DmOp.Command.RemoteShutdown) privcmd.DmOp(guest.Id, ref dmOp, random.Next(3) == 0 ? new byte[64] : default);
        }

        Assert.True(xen.DestroyDomain(guest.Id));
        foreach (uint handle in xen.Dom0.Grants.Tracked.Handles.ToArray()) xen.Dom0.Grants.UnmapWhole(handle);
        Assert.Single(xen.Domains);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task ScribbledIoreqPage_CrashesTheGuestAtWorst(bool overSocket)
    {
        var random = new Random(8);
        for (int round = 0; round < 40; round++)
        {
            using var model = new ModelFixture(vcpus: 2, overSocket: overSocket);
            using var dm = new TestDeviceModel(model.Kernel, model.Domid, request => 0);
            dm.Claim(DmOp.IoRangeType.Port, 0x100, 0x1ff);
            dm.Claim(DmOp.IoRangeType.Memory, 0xfe000000, 0xfe00ffff);
            dm.Enable();
            uint port = model.Evtchn.BindInterdomain(model.Domid, dm.Slot().VpEport);
            Task guest = Task.Run(() => Access(model.Vcpu), TestContext.Current.CancellationToken);
            for (int i = 0; i < 200 && !guest.IsCompleted; i++)
            {
                Scribble(random, dm);
                model.Evtchn.Notify(port);
                await Task.Yield();
            }

            model.Xen.DestroyDomain(model.Domid);
            await guest.WaitAsync(ModelFixture.Deadline, TestContext.Current.CancellationToken);
        }
    }

    private static void Access(Vcpu vcpu)
    {
        try
        {
            for (ushort i = 0; ; i++)
            {
                try
                {
                    vcpu.Io.MmioRead(0xfe000000 + i, 4);
                    vcpu.Io.PortRead((ushort)(0x100 + (i & 0x7f)), 1);
                }
                catch (GuestFaultException)
                {
                    // A guest's kernel would report an oops and go on.
                }
            }
        }
        catch (DomainStoppedException)
        {
        }
    }

    // Anything that a broken device model may write: states, ports, whole slots.
    private static void Scribble(Random random, TestDeviceModel dm)
    {
        ref IoreqSlot slot = ref dm.Slot();
        switch (random.Next(6))
        {
            case 0:
                slot.Bits = (byte)random.Next(256);
                break;
            case 1:
                slot.VpEport = (uint)random.Next(8);
                break;
            case 2:
                slot.Data = (ulong)random.NextInt64();
                break;
            default:
                slot.Bits = (byte)(slot.Bits & 0xf0 | random.Next(4));
                break;
        }
    }

    // Mostly small numbers, domains that exist, addresses within the buffer: what gets past the first checks.
    private static ulong Fill(Random random, Span<byte> buffer)
    {
        for (int i = 0; i + 4 <= buffer.Length; i += 4)
        {
            uint value = random.Next(8) switch
            {
                0 => (uint)random.NextInt64(),
                1 => 0x7ff0,
                2 or 3 => (uint)random.Next(4),
                4 => 0x10000 + (uint)random.Next(buffer.Length),
                5 => (uint)random.Next(0x400),
                6 => uint.MaxValue,
                _ => 0,
            };
            BitConverter.TryWriteBytes(buffer[i..], value);
        }

        return 0x10000 + (ulong)random.Next(BufferSize / 8) * 8;
    }
}
