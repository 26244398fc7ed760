using XenMemoryProvider.Abi;

namespace XenModel.Domains;

/// <summary>The parameters of an HVM or PVH domain: who may read and write which, and which only once.</summary>
internal sealed class HvmParams
{
    // Deprecated numbers that 4.17 still keeps a value for.
    private const HvmParam Unnamed3 = (HvmParam)3, Unnamed7 = (HvmParam)7, Unnamed8 = (HvmParam)8;

    private const ulong Tss32Size = 104;

    private readonly ulong[] _values = new ulong[(int)HvmParam.Count];

    public ulong this[HvmParam index]
    {
        get => _values[(int)index];
        set => _values[(int)index] = value;
    }

    public static int Get(HypercallContext context, ref HvmOp.Param argument)
    {
        if (argument.Index >= HvmParam.Count) return -(int)XenErrno.EINVAL;
        if (context.FindAny(argument.Domid) is not { } domain) return -(int)XenErrno.ESRCH;
        if (!domain.IsTranslated) return -(int)XenErrno.EINVAL;
        if (!context.MayTarget(domain)) return -(int)XenErrno.EPERM;
        switch (AccessOf(argument.Index, writing: false))
        {
            case Access.Nobody:
                return -(int)XenErrno.EINVAL;
            case Access.Toolstack when domain == context.Caller:
                return -(int)XenErrno.EPERM;
        }

        argument.Value = argument.Index == HvmParam.X87FipWidth ? 8 : domain.Params[argument.Index];
        return 0;
    }

    public static int Set(HypercallContext context, HvmOp.Param argument)
    {
        if (argument.Index >= HvmParam.Count) return -(int)XenErrno.EINVAL;
        if (context.FindAny(argument.Domid) is not { } domain) return -(int)XenErrno.ESRCH;
        if (!domain.IsTranslated) return -(int)XenErrno.EINVAL;
        if (!context.MayTarget(domain)) return -(int)XenErrno.EPERM;
        switch (AccessOf(argument.Index, writing: true))
        {
            case Access.Nobody:
                return -(int)XenErrno.EINVAL;
            case Access.Toolstack when domain == context.Caller:
                return -(int)XenErrno.EPERM;
        }

        ulong old = domain.Params[argument.Index];
        if (IsWriteOnce(argument.Index) && old != 0 && old != argument.Value) return -(int)XenErrno.EEXIST;
        int result = Check(argument.Index, argument.Value);
        if (result != 0) return result;
        domain.Params[argument.Index] = argument.Value;
        domain.ParamChanged(argument.Index);
        return 0;
    }

    private static int Check(HvmParam index, ulong value) => index switch
    {
        HvmParam.TimerMode when value > 3 => -(int)XenErrno.EINVAL,
        HvmParam.NrIoreqServerPages when value is 0 or > 64 => -(int)XenErrno.EINVAL,
        HvmParam.Altp2m when value > 3 => -(int)XenErrno.EINVAL,
        HvmParam.TripleFaultReason when value > (ulong)ShutdownReason.SoftReset => -(int)XenErrno.EINVAL,
        HvmParam.X87FipWidth when value is not (0 or 4 or 8) => -(int)XenErrno.EINVAL,
        HvmParam.Viridian when (value & 1) == 0 => -(int)XenErrno.EINVAL,
        HvmParam.Vm86TssSized when value >> 32 < Tss32Size => -(int)XenErrno.EINVAL,
        _ => 0,
    };

    private static bool IsWriteOnce(HvmParam index) =>
        index is HvmParam.IoreqPfn or HvmParam.BufioreqPfn or HvmParam.IoreqServerPfn or HvmParam.NrIoreqServerPages or HvmParam.Altp2m
            or HvmParam.Viridian or HvmParam.McaCap;

    private static Access AccessOf(HvmParam index, bool writing) => index switch
    {
        HvmParam.CallbackIrq or HvmParam.Vm86Tss or HvmParam.Vm86TssSized or HvmParam.AcpiIoportsLocation
            or HvmParam.VmGenerationIdAddr or HvmParam.StoreEvtchn or HvmParam.ConsoleEvtchn or HvmParam.X87FipWidth => Access.Guest,
        HvmParam.StorePfn or HvmParam.ConsolePfn or HvmParam.Altp2m => writing ? Access.Toolstack : Access.Guest,
        HvmParam.IoreqPfn or HvmParam.BufioreqPfn or HvmParam.Viridian or HvmParam.TimerMode or HvmParam.HpetEnabled
            or HvmParam.IdentPt or HvmParam.AcpiSState or HvmParam.VptAlign or HvmParam.PagingRingPfn or HvmParam.MonitorRingPfn
            or HvmParam.SharingRingPfn or HvmParam.TripleFaultReason or HvmParam.IoreqServerPfn or HvmParam.NrIoreqServerPages
            or HvmParam.McaCap or Unnamed3 or Unnamed7 or Unnamed8 => Access.Toolstack,
        _ => Access.Nobody,
    };

    private enum Access
    {
        /// <summary>Dead, out of the ABI or Xen's own.</summary>
        Nobody,

        /// <summary>Not the domain itself.</summary>
        Toolstack,

        Guest,
    }
}
