using XenMemoryProvider.Abi;
using XenModel.Domains;

namespace XenModel.Memory;

internal static partial class MemoryOps
{
    private static int AddToPhysmap(HypercallContext context, MemoryOp.AddToPhysmap argument)
    {
        if (argument.Space == MemoryOp.MapSpace.GmfnForeign) return -(int)XenErrno.ENOSYS;
        if (context.FindAny(argument.Domid) is not { } domain) return -(int)XenErrno.ESRCH;
        if (!context.MayTarget(domain)) return -(int)XenErrno.EPERM;
        if (!domain.IsTranslated) return -(int)XenErrno.EACCES;
        if (argument.Space == MemoryOp.MapSpace.DevMmio && (!context.Caller.IsHardwareDomain || domain != context.Caller)) return -(int)XenErrno.EACCES;
        if (argument.Space != MemoryOp.MapSpace.GmfnRange) return AddOne(domain, argument.Space, argument.Idx, argument.Gpfn);
        for (uint i = 0; i < argument.Size; i++)
        {
            int result = MoveFrame(domain, argument.Idx + i, argument.Gpfn + i);
            if (result != 0) return result;
        }

        return 0;
    }

    private static int AddToPhysmapBatch(HypercallContext context, MemoryOp.AddToPhysmapBatch argument, CallerMemory memory)
    {
        if (context.FindAny(argument.Domid) is not { } domain) return -(int)XenErrno.ESRCH;
        if (!context.MayTarget(domain)) return -(int)XenErrno.EPERM;
        var space = (MemoryOp.MapSpace)argument.Space;
        Domain? foreign = null;
        if (space == MemoryOp.MapSpace.GmfnForeign)
        {
            foreign = context.Find(argument.ForeignDomid);
            if (foreign is null) return -(int)XenErrno.ESRCH;
            if (!context.MayModel(foreign)) return -(int)XenErrno.EPERM;
        }
        else if (space == MemoryOp.MapSpace.GmfnRange)
        {
            return -(int)XenErrno.EINVAL;
        }

        if (!domain.IsTranslated) return -(int)XenErrno.EACCES;
        for (ulong i = 0; i < argument.Size; i++)
        {
            if (!memory.TryRead(argument.Idxs, i, out ulong index) || !memory.TryRead(argument.Gpfns, i, out ulong gfn)) return -(int)XenErrno.EFAULT;
            int result = foreign is null ? AddOne(domain, space, index, gfn) : AddForeign(domain, foreign, index, gfn);
            if (!memory.TryWrite(argument.Errs, i, result)) return -(int)XenErrno.EFAULT;
        }

        return 0;
    }

    private static int AddForeign(Domain domain, Domain foreign, ulong index, ulong gfn)
    {
        P2mEntry entry = foreign.P2m[index];
        if (foreign == domain || !entry.IsRam || gfn >= P2m.GfnLimit) return -(int)XenErrno.EINVAL;
        entry.Reference.AddReference();
        if (domain.P2m[gfn].IsRam) domain.LostRam(null);
        domain.P2m.Set(gfn, P2mType.Foreign, entry.Reference);
        return 0;
    }

    private static int AddOne(Domain domain, MemoryOp.MapSpace space, ulong index, ulong gfn)
    {
        if (gfn >= P2m.GfnLimit) return -(int)XenErrno.EINVAL;
        FrameReference frame;
        switch (space)
        {
            case MemoryOp.MapSpace.SharedInfo:
                if (index != 0) return -(int)XenErrno.EINVAL;
                frame = domain.SharedInfo;
                break;
            case MemoryOp.MapSpace.GrantTable:
                int result = domain.Grants.TryGetMapFrame(index, out frame);
                if (result != 0) return result;
                break;
            case MemoryOp.MapSpace.Gmfn:
                return MoveFrame(domain, index, gfn);
            default:
                return -(int)XenErrno.EINVAL;
        }

        // Xen's own pages have one place in the physmap: the new one.
        domain.ForgetXenFrame(frame);
        if (domain.P2m[gfn].IsRam) domain.LostRam(null);
        frame.AddReference();
        domain.P2m.Set(gfn, P2mType.Ram, frame);
        domain.XenFrames[frame.Frame] = gfn;
        return 0;
    }

    private static int RemoveFromPhysmap(HypercallContext context, MemoryOp.RemoveFromPhysmap argument)
    {
        if (context.FindAny(argument.Domid) is not { } domain) return -(int)XenErrno.ESRCH;
        if (!context.MayTarget(domain)) return -(int)XenErrno.EPERM;
        P2mEntry entry = domain.P2m[argument.Gpfn];
        if (entry.IsPaged)
        {
            domain.P2m.RequestPageIn(argument.Gpfn);
            return -(int)XenErrno.ENOENT;
        }

        if (!entry.IsPresent) return -(int)XenErrno.ENOENT;
        if (domain.P2m.Remove(argument.Gpfn)) domain.LostRam(context.Vcpu);
        return 0;
    }
}
