using XenMemoryProvider.Abi;
using XenModel.Domains;
using Command = XenMemoryProvider.Abi.MemoryOp.Command;

namespace XenModel.Memory;

/// <summary>memory_op: reservations, the physmap, resources.</summary>
internal static partial class MemoryOps
{
    private const int CommandMask = 0x3f;
    private const uint MaxOrderOfDomain = 9;
    private const uint MaxOrderOfControlDomain = 18;

    public static int Call(HypercallContext context, ulong command, ulong argument, CallerMemory memory)
    {
        switch ((Command)(command & CommandMask))
        {
            case Command.PopulatePhysmap:
            case Command.IncreaseReservation:
            case Command.DecreaseReservation:
                return Reserve(context, (Command)(command & CommandMask), argument, memory);
            case Command.MaximumRamPage:
                return int.MaxValue;
            case Command.CurrentReservation:
            case Command.MaximumReservation:
            case Command.MaximumGpfn:
                return Query(context, (Command)(command & CommandMask), argument, memory);
            case Command.AddToPhysmap:
                return memory.TryRead(argument, out MemoryOp.AddToPhysmap add) ? AddToPhysmap(context, add) : -(int)XenErrno.EFAULT;
            case Command.AddToPhysmapBatch:
                return memory.TryRead(argument, out MemoryOp.AddToPhysmapBatch batch) ? AddToPhysmapBatch(context, batch, memory) : -(int)XenErrno.EFAULT;
            case Command.RemoveFromPhysmap:
                return memory.TryRead(argument, out MemoryOp.RemoveFromPhysmap remove) ? RemoveFromPhysmap(context, remove) : -(int)XenErrno.EFAULT;
            case Command.AcquireResource:
                return AcquireResource(context, argument, memory);
            case Command.PagingOp:
                return memory.TryRead(argument, out MemoryOp.Paging paging) ? Paging(context, paging, memory) : -(int)XenErrno.EFAULT;
            default:
                return -(int)XenErrno.ENOSYS;
        }
    }

    /// <summary>Moves a page of RAM of a guest to another guest frame.</summary>
    public static int MoveFrame(Domain domain, ulong from, ulong to)
    {
        P2mEntry entry = domain.P2m[from];
        if (entry.IsPaged)
        {
            domain.P2m.RequestPageIn(from);
            return -(int)XenErrno.ENOENT;
        }

        if (entry.Type != P2mType.Ram || to >= P2m.GfnLimit) return -(int)XenErrno.EINVAL;
        if (from == to) return 0;
        entry.Reference.AddReference();
        domain.P2m.Remove(from);
        if (domain.P2m[to].HoldsFrame || domain.P2m[to].IsPaged) domain.LostRam(null);
        domain.P2m.Set(to, P2mType.Ram, entry.Reference);
        domain.LostRam(null);
        return 0;
    }

    // The result is how many extents were done; an extent that fails ends it.
    private static int Reserve(HypercallContext context, Command command, ulong argument, CallerMemory memory)
    {
        if (!memory.TryRead(argument, out MemoryOp.Reservation reservation)) return 0;
        if (reservation.ExtentOrder > (context.Caller.IsControlDomain ? MaxOrderOfControlDomain : MaxOrderOfDomain)) return 0;
        if (context.FindAny(reservation.Domid) is not { } domain || !context.MayTarget(domain)) return 0;
        int done = 0;
        for (ulong i = 0; i < reservation.NrExtents && done < int.MaxValue; i++)
        {
            if (!memory.TryRead(reservation.ExtentStart, i, out ulong first)) break;
            bool succeeded = command switch
            {
                Command.PopulatePhysmap when !domain.IsTranslated => PopulatePV(domain, reservation, i, memory),
                Command.PopulatePhysmap => Populate(domain, context.Vcpu, first, reservation.ExtentOrder),
                Command.DecreaseReservation => Decrease(domain, context.Vcpu, first, reservation.ExtentOrder),
                _ => false,
            };
            if (!succeeded) break;
            done++;
        }

        return done;
    }

    private static bool Populate(Domain domain, Vcpu? by, ulong first, uint order)
    {
        ulong count = 1UL << (int)order;
        if (first >= P2m.GfnLimit || count > P2m.GfnLimit - first || domain.IsDying) return false;
        if ((int)count > domain.Frames.Capacity - domain.Frames.InUse) return false;
        for (ulong i = 0; i < count; i++)
        {
            if (domain.P2m[first + i].IsRam) domain.LostRam(by);
            if (!domain.P2m.TryPopulate(first + i)) return false;
        }

        return true;
    }

    // A PV domain takes the frame it gets and learns which.
    private static bool PopulatePV(Domain domain, MemoryOp.Reservation reservation, ulong index, CallerMemory memory) =>
        reservation.ExtentOrder == 0 && domain.P2m.TryAllocate() is { } mfn && memory.TryWrite(reservation.ExtentStart, index, mfn);

    private static bool Decrease(Domain domain, Vcpu? by, ulong first, uint order)
    {
        ulong count = 1UL << (int)order;
        if (first >= P2m.GfnLimit || count > P2m.GfnLimit - first) return false;
        for (ulong gfn = first; gfn < first + count; gfn++)
        {
            P2mEntry entry = domain.P2m[gfn];
            if (!entry.IsPaged && !entry.IsRam) return false;
            if (domain.P2m.Remove(gfn)) domain.LostRam(by);
        }

        return true;
    }

    private static int Query(HypercallContext context, Command command, ulong argument, CallerMemory memory)
    {
        if (!memory.TryRead(argument, out MemoryOp.Domain which)) return -(int)XenErrno.EFAULT;
        if (context.FindAny(which.Domid) is not { } domain) return -(int)XenErrno.ESRCH;
        if (!context.MayTarget(domain)) return -(int)XenErrno.EPERM;
        return command switch
        {
            Command.CurrentReservation => domain.Frames.RamInUse,
            Command.MaximumReservation => domain.Frames.MaxRam,
            _ when !domain.IsTranslated => domain.Frames.MaxRam - 1,
            _ => (int)domain.P2m.MaxGfn,
        };
    }

    private static int Paging(HypercallContext context, MemoryOp.Paging argument, CallerMemory memory)
    {
        if (context.Find(argument.Domain) is not { } domain) return -(int)XenErrno.ESRCH;
        if (!context.MayModel(domain)) return -(int)XenErrno.EPERM;
        if (!domain.IsTranslated) return -(int)XenErrno.ENODEV;
        P2mEntry entry = domain.P2m[argument.Gfn];
        switch (argument.Op)
        {
            case MemoryOp.PagingCommand.Nominate:
                return entry.Type != P2mType.Ram ? -(int)XenErrno.EINVAL
                    : domain.Frames.References(entry.Frame) == 1 ? 0 : -(int)XenErrno.EBUSY;
            case MemoryOp.PagingCommand.Evict:
                return domain.P2m.TryPageOut(argument.Gfn) ? 0 : -(int)XenErrno.EBUSY;
            case MemoryOp.PagingCommand.Prep:
                if (!entry.IsPaged) return -(int)XenErrno.ENOENT;
                if (!domain.P2m.PageIn(argument.Gfn)) return -(int)XenErrno.ENOMEM;
                if (argument.Buffer == 0) return 0;
                if (!memory.TrySlice(argument.Buffer, FramePool.PageSize, out Span<byte> contents)) return -(int)XenErrno.EFAULT;
                contents.CopyTo(domain.P2m[argument.Gfn].Reference.Bytes);
                return 0;
            default:
                return -(int)XenErrno.ENOSYS;
        }
    }
}
