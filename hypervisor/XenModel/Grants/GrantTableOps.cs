using System.Runtime.CompilerServices;
using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Memory;
using Command = XenMemoryProvider.Abi.GrantTableOp.Command;

namespace XenModel.Grants;

/// <summary>grant_table_op: arrays of operations, each with a status of its own.</summary>
internal static partial class GrantTableOps
{
    private const uint CommandMask = 0xfff;

    private delegate GrantStatus Operation<T>(HypercallContext context, ref T argument, CallerMemory memory);

    public static int Call(HypercallContext context, uint command, ulong argument, uint count, CallerMemory memory)
    {
        if ((int)count < 0 || (command & ~CommandMask) != 0) return -(int)XenErrno.EINVAL;
        return (Command)command switch
        {
            Command.MapGrantRef => Each<GrantTableOp.MapGrantRef>(context, argument, count, memory, Map),
            Command.UnmapGrantRef => Each<GrantTableOp.UnmapGrantRef>(context, argument, count, memory, Unmap),
            Command.UnmapAndReplace => Each<GrantTableOp.UnmapAndReplace>(context, argument, count, memory, UnmapAndReplace),
            Command.Transfer => Each<GrantTableOp.Transfer>(context, argument, count, memory, Transfer),
            Command.Copy => Each<GrantTableOp.Copy>(context, argument, count, memory, Copy),
            Command.SwapGrantRef => Each<GrantTableOp.SwapGrantRef>(context, argument, count, memory, Swap),
            Command.SetupTable => One<GrantTableOp.SetupTable>(context, argument, count, memory, SetupTable),
            Command.QuerySize => One<GrantTableOp.QuerySize>(context, argument, count, memory, QuerySize),
            Command.GetStatusFrames => One<GrantTableOp.GetStatusFrames>(context, argument, count, memory, GetStatusFrames),
            Command.SetVersion => SetVersion(context, argument, memory),
            Command.GetVersion => GetVersion(context, argument, memory),
            Command.CacheFlush => CacheFlush(context, argument, count, memory),
            _ => -(int)XenErrno.ENOSYS,
        };
    }

    private static int Each<T>(HypercallContext context, ulong argument, uint count, CallerMemory memory, Operation<T> operation)
        where T : unmanaged
    {
        if (!memory.Contains(argument, (ulong)count * (ulong)Unsafe.SizeOf<T>())) return count == 0 ? 0 : -(int)XenErrno.EFAULT;
        for (uint i = 0; i < count; i++)
        {
            if (!memory.TryRead(argument, i, out T value)) return -(int)XenErrno.EFAULT;
            operation(context, ref value, memory);
            if (!memory.TryWrite(argument, i, value)) return -(int)XenErrno.EFAULT;
        }

        return 0;
    }

    private static int One<T>(HypercallContext context, ulong argument, uint count, CallerMemory memory, Operation<T> operation)
        where T : unmanaged
    {
        if (count != 1) return -(int)XenErrno.EINVAL;
        return Each(context, argument, count, memory, operation);
    }

    private static GrantStatus SetupTable(HypercallContext context, ref GrantTableOp.SetupTable argument, CallerMemory memory)
    {
        argument.Status = GrantStatus.Okay;
        if (context.FindAny(argument.Dom) is not { } domain) return argument.Status = GrantStatus.BadDomain;
        if (!context.MayTarget(domain)) return argument.Status = GrantStatus.PermissionDenied;
        if (argument.NrFrames > (uint)domain.Grants.MaxFrames) return argument.Status = GrantStatus.GeneralError;
        if (!domain.Grants.Grow((int)argument.NrFrames)) return argument.Status = GrantStatus.NoSpace;
        for (uint i = 0; i < argument.NrFrames; i++)
        {
            if (!memory.TryWrite(argument.FrameList, i, GuestFrame(domain, domain.Grants.SharedFrame((int)i)))) argument.Status = GrantStatus.BadVirtAddr;
        }

        return argument.Status;
    }

    private static GrantStatus GetStatusFrames(HypercallContext context, ref GrantTableOp.GetStatusFrames argument, CallerMemory memory)
    {
        argument.Status = GrantStatus.Okay;
        if (context.FindAny(argument.Dom) is not { } domain) return argument.Status = GrantStatus.BadDomain;
        if (!context.MayTarget(domain)) return argument.Status = GrantStatus.PermissionDenied;
        if (argument.NrFrames > (uint)domain.Grants.StatusFrameCount) return argument.Status = GrantStatus.GeneralError;
        for (uint i = 0; i < argument.NrFrames; i++)
        {
            if (!memory.TryWrite(argument.FrameList, i, GuestFrame(domain, domain.Grants.StatusFrame((int)i)))) argument.Status = GrantStatus.BadVirtAddr;
        }

        return argument.Status;
    }

    private static GrantStatus QuerySize(HypercallContext context, ref GrantTableOp.QuerySize argument, CallerMemory memory)
    {
        if (context.FindAny(argument.Dom) is not { } domain) return argument.Status = GrantStatus.BadDomain;
        if (!context.MayTarget(domain)) return argument.Status = GrantStatus.PermissionDenied;
        argument.NrFrames = (uint)domain.Grants.FrameCount;
        argument.MaxNrFrames = (uint)domain.Grants.MaxFrames;
        return argument.Status = GrantStatus.Okay;
    }

    private static GrantStatus Swap(HypercallContext context, ref GrantTableOp.SwapGrantRef argument, CallerMemory memory) =>
        argument.Status = context.Caller.Grants.Swap(argument.RefA, argument.RefB);

    private static int SetVersion(HypercallContext context, ulong argument, CallerMemory memory)
    {
        if (!memory.TryRead(argument, out GrantTableOp.SetVersion value)) return -(int)XenErrno.EFAULT;
        int result = context.Caller.Grants.SetVersion(value.Version);
        value.Version = context.Caller.Grants.Version;
        return memory.TryWrite(argument, value) ? result : -(int)XenErrno.EFAULT;
    }

    private static int GetVersion(HypercallContext context, ulong argument, CallerMemory memory)
    {
        if (!memory.TryRead(argument, out GrantTableOp.GetVersion value)) return -(int)XenErrno.EFAULT;
        if (context.FindAny(value.Dom) is not { } domain) return -(int)XenErrno.ESRCH;
        if (!context.MayTarget(domain)) return -(int)XenErrno.EPERM;
        value.Version = domain.Grants.Version;
        return memory.TryWrite(argument, value) ? 0 : -(int)XenErrno.EFAULT;
    }

    private static int CacheFlush(HypercallContext context, ulong argument, uint count, CallerMemory memory)
    {
        for (uint i = 0; i < count; i++)
        {
            if (!memory.TryRead(argument, i, out GrantTableOp.CacheFlush value)) return -(int)XenErrno.EFAULT;
            if (value.Offset >= FramePool.PageSize || value.Offset + value.Length > FramePool.PageSize
                || (value.Op & ~(GrantTableOp.CacheInval | GrantTableOp.CacheClean)) != 0) return -(int)XenErrno.EINVAL;
            if (value.Length == 0 || value.Op == 0) continue;
            ulong mfn = value.DevBusAddr >> FramePool.PageShift;
            bool own = mfn - context.Caller.Frames.FirstMfn < (ulong)context.Caller.Frames.Capacity;
            if (!own && !context.Caller.Grants.Tracked.Handles.Any(handle => context.Caller.Grants.Tracked.Find(handle)!.Value.Frame.Mfn == mfn))
                return -(int)XenErrno.EINVAL;
            if (value.Op == GrantTableOp.CacheInval) return -(int)XenErrno.EOPNOTSUPP;
        }

        return 0;
    }

    // A PV guest sees machine frames; a translated one sees where it put the page, or that it has not.
    private static ulong GuestFrame(Domain domain, FrameReference frame)
    {
        if (!domain.IsTranslated) return frame.Mfn;
        return domain.XenFrames.TryGetValue(frame.Frame, out ulong gfn) ? gfn : ulong.MaxValue;
    }
}
