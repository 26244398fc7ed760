using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace Conformance.Scripts;

/// <summary>memory_op of domain 0 on a guest, in few words. What a reservation gives is how many extents were done.</summary>
internal static class Memory
{
    public static int Decrease(this Run run, ushort domid, params ulong[] gfns) => run.Reserve(MemoryOp.Command.DecreaseReservation, domid, 0, gfns);

    public static int Populate(this Run run, ushort domid, params ulong[] gfns) => run.Reserve(MemoryOp.Command.PopulatePhysmap, domid, 0, gfns);

    public static int Reserve(this Run run, MemoryOp.Command command, ushort domid, uint order, params ulong[] gfns)
    {
        using HypercallBuffer buffer = run.Privcmd.AllocateBuffer(XenPage.Size);
        var reservation = new MemoryOp.Reservation
        {
            ExtentStart = buffer.Put<ulong>(gfns), NrExtents = (ulong)gfns.Length, ExtentOrder = order, Domid = domid,
        };
        var call = new Privcmd.Hypercall { Op = (ulong)Hypercall.MemoryOp, Arg0 = (ulong)command, Arg1 = buffer.Put(reservation) };
        return run.Privcmd.Hypercall(call, buffer);
    }

    public static int Remove(this Run run, ushort domid, ulong gfn)
    {
        var remove = new MemoryOp.RemoveFromPhysmap { Domid = domid, Gpfn = gfn };
        return run.Privcmd.MemoryOp(MemoryOp.Command.RemoveFromPhysmap, ref remove);
    }

    public static int Add(this Run run, ushort domid, MemoryOp.MapSpace space, ulong index, ulong gfn, ushort size = 0)
    {
        var add = new MemoryOp.AddToPhysmap { Domid = domid, Space = space, Idx = index, Gpfn = gfn, Size = size };
        return run.Privcmd.MemoryOp(MemoryOp.Command.AddToPhysmap, ref add);
    }

    /// <summary>Asks about a domain's memory.</summary>
    public static int Query(this Run run, MemoryOp.Command command, ushort domid)
    {
        var domain = new MemoryOp.Domain { Domid = domid };
        return run.Privcmd.MemoryOp(command, ref domain);
    }
}
