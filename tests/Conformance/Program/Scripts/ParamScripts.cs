using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static XenMemoryProvider.Abi.HvmParam;

namespace Conformance.Scripts;

/// <summary>hvm_op: parameters, memory types, altp2m without altp2m.</summary>
internal static class ParamScripts
{
    private const string Readable = "0 1 2 3 5 6 7 8 9 10 11 12 14 15 16 17 18 19 27 28 29 31 32 33 34 35 36 37 38";
    private const string Writable = "0 1 2 3 5 6 7 8 10 11 14 15 16 17 18 27 28 29 31 32 34 35 36 38";

    public static IReadOnlyList<Script> All { get; } =
    [
        new("param.of-a-new-pvh", x =>
        {
            x.Step("STORE_PFN", "0xfeffc", () => Get(x, x.Pvh, StorePfn));
            x.Step("CONSOLE_PFN", "0xfefff", () => Get(x, x.Pvh, ConsolePfn));
            x.Step("IOREQ_PFN", "0xfeffd", () => Get(x, x.Pvh, IoreqPfn));
            x.Step("BUFIOREQ_PFN", "0xfeffb", () => Get(x, x.Pvh, BufioreqPfn));
            x.Step("IOREQ_SERVER_PFN", "0x0", () => Get(x, x.Pvh, IoreqServerPfn));
            x.Step("NR_IOREQ_SERVER_PAGES", "0x0", () => Get(x, x.Pvh, NrIoreqServerPages));
            x.Step("ALTP2M", "0x0", () => Get(x, x.Pvh, Altp2m));
        }),
        new("param.of-a-new-hvm", x =>
        {
            x.Step("STORE_PFN", "0xfeffc", () => Get(x, x.Hvm, StorePfn));
            x.Step("CONSOLE_PFN", "0xfefff", () => Get(x, x.Hvm, ConsolePfn));
            x.Step("IOREQ_PFN", "0xfeffd", () => Get(x, x.Hvm, IoreqPfn));
            x.Step("BUFIOREQ_PFN", "0xfeffb", () => Get(x, x.Hvm, BufioreqPfn));
            x.Step("IOREQ_SERVER_PFN", "0xfeff0", () => Get(x, x.Hvm, IoreqServerPfn));
            x.Step("NR_IOREQ_SERVER_PAGES", "0x8", () => Get(x, x.Hvm, NrIoreqServerPages));
        }),
        new("param.store-and-console-ports", x =>
        {
            x.Step("STORE_EVTCHN is a port", "yes", () => Value(x, x.Pvh, StoreEvtchn) > 0);
            x.Step("CONSOLE_EVTCHN is another", "yes", () => Value(x, x.Pvh, ConsoleEvtchn) > 0 && Value(x, x.Pvh, ConsoleEvtchn) != Value(x, x.Pvh, StoreEvtchn));
        }),
        new("param.numbers-that-are-read", x =>
        {
            x.Step("get_param(0..38), those that are not refused", Readable, () => Allowed(index => x.Privcmd.GetHvmParam(x.Pvh, index, out _)));
            x.Step("the others", "EINVAL", () => x.Privcmd.GetHvmParam(x.Pvh, HvmParam.BufioreqEvtchn, out _));
            x.Step("get_param(39)", "EINVAL", () => Get(x, x.Pvh, Count));
            x.Step("get_param(~0)", "EINVAL", () => Get(x, x.Pvh, (HvmParam)uint.MaxValue));
        }),
        new("param.numbers-that-are-written", x =>
        {
            x.Step("set_param(0..38) to what they are, those that are not refused", Writable, () => Allowed(index =>
                index is IdentPt or AcpiIoportsLocation ? -1 : x.Privcmd.SetHvmParam(x.Pvh, index, x.Privcmd.GetHvmParam(x.Pvh, index, out ulong value) == 0 ? value : 0)));
            x.Step("set_param(39)", "EINVAL", () => x.Privcmd.SetHvmParam(x.Pvh, Count, 0));
        }),
        new("param.no-such-domain", x =>
        {
            x.Step("get_param of domain 999", "ESRCH", () => Get(x, Run.Nobody, StorePfn));
            x.Step("set_param of domain 999", "ESRCH", () => x.Privcmd.SetHvmParam(Run.Nobody, VmGenerationIdAddr, 1));
            x.Step("get_param(39) of domain 999", "EINVAL", () => Get(x, Run.Nobody, Count));
        }),
        new("param.of-a-pv-domain", x =>
        {
            x.Step("get_param of domain 0", "EINVAL", () => Get(x, Domid.Self, StorePfn));
            x.Step("set_param of domain 0", "EINVAL", () => x.Privcmd.SetHvmParam(Domid.Self, VmGenerationIdAddr, 1));
        }),
        new("param.read-back", x =>
        {
            x.Step("set_param(VM_GENERATION_ID_ADDR)", "0", () => x.Privcmd.SetHvmParam(x.Pvh, VmGenerationIdAddr, 0xfc000000));
            x.Step("get_param", "0xfc000000", () => Get(x, x.Pvh, VmGenerationIdAddr));
            x.Step("set_param again", "0", () => x.Privcmd.SetHvmParam(x.Pvh, VmGenerationIdAddr, 0));
        }),
        new("param.write-once", x =>
        {
            x.Step("set_param(IOREQ_PFN) to what it is", "0", () => x.Privcmd.SetHvmParam(x.Hvm, IoreqPfn, Value(x, x.Hvm, IoreqPfn)));
            x.Step("set_param(IOREQ_PFN)", "EEXIST", () => x.Privcmd.SetHvmParam(x.Hvm, IoreqPfn, 5));
            x.Step("set_param(BUFIOREQ_PFN)", "EEXIST", () => x.Privcmd.SetHvmParam(x.Hvm, BufioreqPfn, 5));
            x.Step("set_param(IOREQ_SERVER_PFN)", "EEXIST", () => x.Privcmd.SetHvmParam(x.Hvm, IoreqServerPfn, 5));
            x.Step("set_param(NR_IOREQ_SERVER_PAGES)", "EEXIST", () => x.Privcmd.SetHvmParam(x.Hvm, NrIoreqServerPages, 5));
            x.Step("set_param(STORE_PFN), which is not", "0", () => x.Privcmd.SetHvmParam(x.Hvm, StorePfn, Value(x, x.Hvm, StorePfn)));
        }),
        new("param.values-out-of-range", x =>
        {
            x.Step("set_param(NR_IOREQ_SERVER_PAGES, 0)", "EINVAL", () => x.Privcmd.SetHvmParam(x.Pvh, NrIoreqServerPages, 0));
            x.Step("set_param(NR_IOREQ_SERVER_PAGES, 65)", "EINVAL", () => x.Privcmd.SetHvmParam(x.Pvh, NrIoreqServerPages, 65));
            x.Step("set_param(TIMER_MODE, 4)", "EINVAL", () => x.Privcmd.SetHvmParam(x.Pvh, TimerMode, 4));
            x.Step("set_param(ALTP2M, 4)", "EINVAL", () => x.Privcmd.SetHvmParam(x.Pvh, Altp2m, 4));
            x.Step("set_param(TRIPLE_FAULT_REASON, 6)", "EINVAL", () => x.Privcmd.SetHvmParam(x.Pvh, TripleFaultReason, 6));
            x.Step("set_param(X87_FIP_WIDTH, 3)", "EINVAL", () => x.Privcmd.SetHvmParam(x.Pvh, X87FipWidth, 3));
        }),
        new("param.timer-mode", x =>
        {
            x.Step("set_param(TIMER_MODE, 3)", "0", () => x.Privcmd.SetHvmParam(x.Pvh, TimerMode, 3));
            x.Step("get_param", "0x3", () => Get(x, x.Pvh, TimerMode));
        }),
        new("hvm_op.mem-type-of-nobody", x =>
        {
            var query = new HvmOp.GetMemType { Domid = Run.Nobody };
            x.Step("get_mem_type of domain 999", "ESRCH", () => x.Privcmd.HvmOp(HvmOp.Command.GetMemType, ref query));
            query.Domid = Domid.Self;
            x.Step("get_mem_type of domain 0", "EINVAL", () => x.Privcmd.HvmOp(HvmOp.Command.GetMemType, ref query));
        }),
        new("hvm_op.unknown-command", x =>
        {
            var query = new HvmOp.Param { Domid = x.Pvh };
            x.Step("hvm_op 30", "ENOSYS", () => x.Privcmd.HvmOp((HvmOp.Command)30, ref query));
            x.Step("hvm_op 2, which is dm_op now", "ENOSYS", () => x.Privcmd.HvmOp((HvmOp.Command)2, ref query));
        }),
        new("hvm_op.altp2m-not-on-this-machine", x =>
        {
            var op = new Altp2mOp.Call { Version = 1, Domain = x.Pvh };
            foreach (uint command in (uint[])[1, 2, 4, 16, 99])
            {
                op.Cmd = (Altp2mOp.Command)command;
                x.Step($"altp2m command {command}", "EOPNOTSUPP", () => x.Privcmd.HvmOp(HvmOp.Command.Altp2m, ref op));
            }
        }, "Xen without altp2m=1, or on a processor without EPT, answers nothing else to altp2m."),
    ];

    private static Outcome Allowed(Func<HvmParam, int> ask) =>
        string.Join(' ', Enumerable.Range(0, (int)Count).Where(index => ask((HvmParam)index) == 0));

    private static Outcome Get(Run x, ushort domid, HvmParam index)
    {
        int result = x.Privcmd.GetHvmParam(domid, index, out ulong value);
        return result < 0 ? result : value;
    }

    private static ulong Value(Run x, ushort domid, HvmParam index)
    {
        XenException.Check(x.Privcmd.GetHvmParam(domid, index, out ulong value), "get_param", domid);
        return value;
    }
}
