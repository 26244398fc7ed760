using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace Conformance.Scripts;

/// <summary>What a privcmd handle that is restricted to a guest may still do.</summary>
internal static class RestrictScripts
{
    public static IReadOnlyList<Script> All { get; } =
    [
        new("restrict.once-and-for-ever", x =>
        {
            using IPrivcmd privcmd = x.Machine.Kernel.OpenPrivcmd();
            x.Step("RESTRICT(guest)", "0", () => privcmd.Restrict(x.Pvh));
            x.Step("RESTRICT(guest) again", "0", () => privcmd.Restrict(x.Pvh));
            x.Step("RESTRICT(another)", "EINVAL", () => privcmd.Restrict(x.Hvm));
        }),
        new("restrict.hypercalls", x =>
        {
            using IPrivcmd privcmd = x.Machine.Kernel.OpenPrivcmd();
            privcmd.Restrict(x.Pvh);
            x.Step("get_param of the guest", "EPERM", () => privcmd.GetHvmParam(x.Pvh, HvmParam.StorePfn, out _));
        }),
        new("restrict.dm_op", x =>
        {
            using IPrivcmd privcmd = x.Machine.Kernel.OpenPrivcmd();
            privcmd.Restrict(x.Pvh);
            var call = new DmOp.Call { Op = DmOp.Command.NrVcpus };
            x.Step("nr_vcpus of the guest", "0", () => privcmd.DmOp(x.Pvh, ref call));
            x.Step("nr_vcpus of another", "EPERM", () => privcmd.DmOp(x.Hvm, ref call));
            x.Step("nr_vcpus of domain 999", "EPERM", () => privcmd.DmOp(Run.Nobody, ref call));
        }),
        new("restrict.memory", x =>
        {
            using IPrivcmd privcmd = x.Machine.Kernel.OpenPrivcmd();
            privcmd.Restrict(x.Pvh);
            int[] errors = new int[1];
            x.Step("foreign mapping of the guest", "0", () =>
            {
                privcmd.MapForeign(x.Pvh, [Machine.FreeGfn], 1, errors, TimeSpan.Zero).Dispose();
                return errors[0];
            });
            x.Step("of another", "EPERM", () => privcmd.MapForeign(x.Hvm, [Machine.FreeGfn], 1, errors, TimeSpan.Zero).Dispose());
            x.Step("resource of the guest", "1", () => x.Own(privcmd.MapResource(x.Pvh, MemoryOp.ResourceType.GrantTable, 0, 0, 1)).Pages);
            x.Step("resource of another", "EPERM", () => x.Own(privcmd.MapResource(x.Hvm, MemoryOp.ResourceType.GrantTable, 0, 0, 1)).Pages);
        }),
    ];
}
