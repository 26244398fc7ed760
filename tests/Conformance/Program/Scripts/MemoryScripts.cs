using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static XenMemoryProvider.Abi.MemoryOp;

namespace Conformance.Scripts;

/// <summary>memory_op: reservations and the physmap.</summary>
internal static unsafe class MemoryScripts
{
    private const ulong Free = Machine.FreeGfn + 0x300;

    public static IReadOnlyList<Script> All { get; } =
    [
        new("memory.decrease", x =>
        {
            x.Defer(() => x.Populate(x.Pvh, Free));
            int before = x.Query(Command.CurrentReservation, x.Pvh);
            x.Step("decrease_reservation of one page", "1", () => x.Decrease(x.Pvh, Free));
            x.Step("current_reservation, difference", "-1", () => $"{x.Query(Command.CurrentReservation, x.Pvh) - before}");
            x.Step("decrease_reservation of the hole it left", "0", () => x.Decrease(x.Pvh, Free));
        }),
        new("memory.decrease-stops-at-a-hole", x =>
        {
            x.Defer(() => x.Populate(x.Pvh, Free));
            x.Step("decrease_reservation of RAM, hole, RAM", "1", () => x.Decrease(x.Pvh, Free, Machine.HoleGfn, Free + 1));
            x.Step("the third page is there", "0", () => x.MapError(x.Pvh, Free + 1));
        }),
        new("memory.populate", x =>
        {
            x.Defer(() => x.Remove(x.Pvh, Machine.HoleGfn + 0x20));
            x.Step("populate_physmap of a hole", "1", () => x.Populate(x.Pvh, Machine.HoleGfn + 0x20));
            x.Step("foreign mapping", "0", () => x.MapError(x.Pvh, Machine.HoleGfn + 0x20));
        }),
        new("memory.populate-orders", x =>
        {
            x.Step("populate_physmap(order 19)", "0", () => x.Reserve(Command.PopulatePhysmap, x.Pvh, 19, Machine.HoleGfn));
            x.Step("populate_physmap(order 2)", "1", () => x.Reserve(Command.PopulatePhysmap, x.Pvh, 2, Machine.HoleGfn + 0x40));
            x.Step("its last page", "0", () => x.MapError(x.Pvh, Machine.HoleGfn + 0x43));
            x.Step("decrease_reservation(order 2)", "1", () => x.Reserve(Command.DecreaseReservation, x.Pvh, 2, Machine.HoleGfn + 0x40));
        }),
        new("memory.populate-beyond-the-allowance", x =>
        {
            int free = x.Query(Command.MaximumReservation, x.Pvh) - x.Query(Command.CurrentReservation, x.Pvh);
            x.Step("populate_physmap(order 14) with less than that left", "0", () => free < 1 << 14 ? x.Reserve(Command.PopulatePhysmap, x.Pvh, 14, 0x80000) : -1);
        }),
        new("memory.reservation-of-nobody", x =>
        {
            x.Step("decrease_reservation of domain 999", "0", () => x.Decrease(Run.Nobody, Free));
            x.Step("populate_physmap of domain 999", "0", () => x.Populate(Run.Nobody, Free));
        }),
        new("memory.queries", x =>
        {
            x.Step("current_reservation of domain 999", "ESRCH", () => x.Query(Command.CurrentReservation, Run.Nobody));
            x.Step("maximum_reservation of domain 999", "ESRCH", () => x.Query(Command.MaximumReservation, Run.Nobody));
            x.Step("maximum_gpfn of domain 999", "ESRCH", () => x.Query(Command.MaximumGpfn, Run.Nobody));
            x.Step("maximum_gpfn is at least that of the special pages", "yes", () => x.Query(Command.MaximumGpfn, x.Pvh) >= 0xfefff);
            x.Step("current_reservation is 32 MiB and a few pages", "yes", () => x.Query(Command.CurrentReservation, x.Pvh) is > 8192 and < 8192 + 64);
        }),
        new("memory.unknown-command", x => x.Step("memory_op 63", "ENOSYS", () => x.Query((Command)63, x.Pvh))),
        new("memory.unknown-hypercall", x =>
        {
            using HypercallBuffer buffer = x.Privcmd.AllocateBuffer(XenPage.Size);
            x.Step("hypercall 62", "ENOSYS", () => x.Privcmd.Hypercall(new Privcmd.Hypercall { Op = 62 }, buffer));
        }),
        new("physmap.remove", x =>
        {
            x.Defer(() => x.Populate(x.Pvh, Free + 2));
            x.Step("remove_from_physmap", "0", () => x.Remove(x.Pvh, Free + 2));
            x.Step("again", "ENOENT", () => x.Remove(x.Pvh, Free + 2));
            x.Step("of a hole", "ENOENT", () => x.Remove(x.Pvh, Machine.HoleGfn));
            x.Step("of domain 999", "ESRCH", () => x.Remove(Run.Nobody, 0));
        }),
        new("physmap.grant-table", x =>
        {
            ulong gfn = Machine.HoleGfn + 0x50;
            x.Defer(() => x.Remove(x.Pvh, gfn));
            x.Step("add_to_physmap(grant_table, 0)", "0", () => x.Add(x.Pvh, MapSpace.GrantTable, 0, gfn));
            using XenMapping resource = x.Privcmd.MapResource(x.Pvh, ResourceType.GrantTable, GrantTableIdShared, 0, 1);
            XenMapping mapped = x.Map(x.Pvh, gfn);
            ((ulong*)mapped.Pointer)[500] = 0x77;
            x.Step("what is written there is in the table", "0x77", () => ((ulong*)resource.Pointer)[500]);
            ((ulong*)mapped.Pointer)[500] = 0;
            x.Step("add_to_physmap(grant_table, 0) elsewhere", "0", () => x.Add(x.Pvh, MapSpace.GrantTable, 0, gfn + 1));
            x.Defer(() => x.Remove(x.Pvh, gfn + 1));
            x.Step("the first place is empty", "EINVAL", () => x.MapError(x.Pvh, gfn));
            x.Step("add_to_physmap(grant_table, 64)", "EINVAL", () => x.Add(x.Pvh, MapSpace.GrantTable, 64, gfn));
        }),
        new("physmap.shared-info", x =>
        {
            ulong gfn = Machine.HoleGfn + 0x58;
            x.Defer(() => x.Remove(x.Pvh, gfn));
            x.Step("add_to_physmap(shared_info, 1)", "EINVAL", () => x.Add(x.Pvh, MapSpace.SharedInfo, 1, gfn));
            x.Step("add_to_physmap(shared_info, 0)", "0", () => x.Add(x.Pvh, MapSpace.SharedInfo, 0, gfn));
            x.Step("foreign mapping", "0", () => x.MapError(x.Pvh, gfn));
        }),
        new("physmap.gmfn-moves", x =>
        {
            ulong gfn = Machine.HoleGfn + 0x60;
            x.Defer(() => x.Add(x.Pvh, MapSpace.Gmfn, gfn, Free + 3));
            x.Step("add_to_physmap(gmfn)", "0", () => x.Add(x.Pvh, MapSpace.Gmfn, Free + 3, gfn));
            x.Step("the old place", "EINVAL", () => x.MapError(x.Pvh, Free + 3));
            x.Step("the new place", "0", () => x.MapError(x.Pvh, gfn));
        }),
        new("physmap.gmfn-over-ram", x =>
        {
            XenMapping source = x.Map(x.Pvh, Free + 4);
            *(ulong*)source.Pointer = 0x4444;
            x.Defer(() => x.Populate(x.Pvh, Free + 4));
            x.Step("add_to_physmap(gmfn) where another page is", "0", () => x.Add(x.Pvh, MapSpace.Gmfn, Free + 4, Free + 5));
            XenMapping moved = x.Map(x.Pvh, Free + 5);
            x.Step("the page came along", "0x4444", () => *(ulong*)moved.Pointer);
        }),
        new("physmap.spaces-not-to-be-had", x =>
        {
            ulong gfn = Machine.HoleGfn + 0x68;
            x.Step("add_to_physmap(gmfn_foreign)", "ENOSYS", () => x.Add(x.Pvh, MapSpace.GmfnForeign, 0, gfn));
            x.Step("add_to_physmap(dev_mmio)", "EACCES", () => x.Add(x.Pvh, MapSpace.DevMmio, 0, gfn));
            x.Step("add_to_physmap(space 9)", "EINVAL", () => x.Add(x.Pvh, (MapSpace)9, 0, gfn));
            x.Step("add_to_physmap(gmfn of a hole)", "EINVAL", () => x.Add(x.Pvh, MapSpace.Gmfn, Machine.HoleGfn, gfn));
            x.Step("add_to_physmap of domain 999", "ESRCH", () => x.Add(Run.Nobody, MapSpace.SharedInfo, 0, gfn));
        }),
        new("physmap.of-a-pv-domain", x =>
        {
            x.Step("add_to_physmap(shared_info) of domain 0", "EACCES", () => x.Add(Domid.Self, MapSpace.SharedInfo, 0, 0x1000));
            x.Step("maximum_gpfn of domain 0 is known", "yes", () => x.Query(Command.MaximumGpfn, Domid.Self) > 0);
        }),
        new("physmap.gmfn-range", x =>
        {
            ulong gfn = Machine.HoleGfn + 0x70;
            x.Defer(() => x.Add(x.Pvh, MapSpace.GmfnRange, gfn, Free + 8, 4));
            x.Step("add_to_physmap(gmfn_range, 4 pages)", "0", () => x.Add(x.Pvh, MapSpace.GmfnRange, Free + 8, gfn, 4));
            x.Step("the last page's old place", "EINVAL", () => x.MapError(x.Pvh, Free + 11));
            x.Step("its new place", "0", () => x.MapError(x.Pvh, gfn + 3));
        }),
    ];
}
