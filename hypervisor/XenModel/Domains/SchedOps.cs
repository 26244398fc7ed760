using XenMemoryProvider.Abi;

namespace XenModel.Domains;

/// <summary>sched_op: a domain ends itself, or another.</summary>
internal static class SchedOps
{
    private const int Yield = 0, ShutDown = 2, RemoteShutDown = 4;

    public static int Call(HypercallContext context, ulong command, ulong argument, CallerMemory memory)
    {
        switch (command)
        {
            case Yield:
                return 0;
            case ShutDown:
                if (!memory.TryRead(argument, out uint reason)) return -(int)XenErrno.EFAULT;
                if (context.Caller.Id != 0) context.Caller.ShutDownLocked((ShutdownReason)reason);
                return 0;
            case RemoteShutDown:
                if (!memory.TryRead(argument, 0, out ushort domid) || !memory.TryRead(argument + 4, out uint why)) return -(int)XenErrno.EFAULT;
                if (context.Find(domid) is not { } domain) return -(int)XenErrno.ESRCH;
                if (!context.MayModel(domain)) return -(int)XenErrno.EPERM;
                domain.ShutDownLocked((ShutdownReason)why);
                return 0;
            default:
                return -(int)XenErrno.ENOSYS;
        }
    }
}
