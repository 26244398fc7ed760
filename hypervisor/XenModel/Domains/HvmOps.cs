using XenMemoryProvider.Abi;
using XenModel.Memory;

namespace XenModel.Domains;

/// <summary>hvm_op: parameters, memory types, the upcall vector. This Xen runs without altp2m=1 on its command line.</summary>
internal static class HvmOps
{
    public static int Call(HypercallContext context, ulong command, ulong argument, CallerMemory memory)
    {
        switch ((HvmOp.Command)command)
        {
            case HvmOp.Command.SetParam:
                return memory.TryRead(argument, out HvmOp.Param set) ? HvmParams.Set(context, set) : -(int)XenErrno.EFAULT;
            case HvmOp.Command.GetParam:
                if (!memory.TryRead(argument, out HvmOp.Param get)) return -(int)XenErrno.EFAULT;
                int result = HvmParams.Get(context, ref get);
                return result == 0 && !memory.TryWrite(argument, get) ? -(int)XenErrno.EFAULT : result;
            case HvmOp.Command.GetMemType:
                return GetMemType(context, argument, memory);
            case HvmOp.Command.SetEvtchnUpcallVector:
                return memory.TryRead(argument, out HvmOp.EvtchnUpcallVector vector) ? SetVector(context, vector) : -(int)XenErrno.EFAULT;
            case HvmOp.Command.FlushTlbs:
                return argument == 0 ? 0 : -(int)XenErrno.EINVAL;
            case HvmOp.Command.Altp2m:
                return -(int)XenErrno.EOPNOTSUPP;
            default:
                return -(int)XenErrno.ENOSYS;
        }
    }

    private static int GetMemType(HypercallContext context, ulong argument, CallerMemory memory)
    {
        if (!memory.TryRead(argument, out HvmOp.GetMemType query)) return -(int)XenErrno.EFAULT;
        if (context.FindAny(query.Domid) is not { } domain) return -(int)XenErrno.ESRCH;
        if (!context.MayTarget(domain)) return -(int)XenErrno.EPERM;
        if (!domain.IsTranslated) return -(int)XenErrno.EINVAL;
        P2mEntry entry = domain.P2m[query.Pfn];
        query.Type = entry.Type switch
        {
            P2mType.RamReadOnly or P2mType.GrantReadOnly => HvmOp.MemType.RamRo,
            P2mType.MmioDm => HvmOp.MemType.MmioDm,
            P2mType.IoreqServer => HvmOp.MemType.IoreqServer,
            _ => HvmOp.MemType.RamRw,
        };
        return memory.TryWrite(argument, query) ? 0 : -(int)XenErrno.EFAULT;
    }

    private static int SetVector(HypercallContext context, HvmOp.EvtchnUpcallVector argument)
    {
        const byte firstVector = 16;
        if (!context.Caller.IsTranslated || argument.Vector < firstVector) return -(int)XenErrno.EINVAL;
        if (context.Caller.FindVcpu(argument.Vcpu) is not { } vcpu) return -(int)XenErrno.ENOENT;
        vcpu.UpcallVector = argument.Vector;
        return 0;
    }
}
