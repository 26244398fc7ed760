using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static Conformance.Scripts.Grants;
using static XenMemoryProvider.Abi.GrantFlags;

namespace Conformance.Scripts;

/// <summary>Mapping a guest's grants: grant_table_op and gntdev.</summary>
internal static unsafe class GrantScripts
{
    private const ulong Page = Machine.FreeGfn + 0x400;

    public static IReadOnlyList<Script> All { get; } =
    [
        new("grant.map-marks-the-entry", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Page);
            GrantTableOp.MapGrantRef map = x.MapDevice(x.Pvh, First);
            x.Step("map_grant_ref", "okay", () => map.Status);
            x.Step("marks in the entry", "reading and writing", () => Marks(table, First));
            x.Step("unmap_grant_ref", "okay", () => x.Unmap(map.Handle, map.DevBusAddr));
            x.Step("marks", "none", () => Marks(table, First));
            x.Step("unmap_grant_ref again", "bad_handle", () => x.Unmap(map.Handle, map.DevBusAddr));
        }),
        new("grant.map-read-only-marks-reading", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Page);
            GrantTableOp.MapGrantRef map = x.MapDevice(x.Pvh, First, GrantTableOp.MapDevice | GrantTableOp.MapReadOnly);
            x.Step("map_grant_ref(readonly)", "okay", () => map.Status);
            x.Step("marks", "reading", () => Marks(table, First));
            GrantTableOp.MapGrantRef second = x.MapDevice(x.Pvh, First);
            x.Step("map_grant_ref for writing too", "okay", () => second.Status);
            x.Step("marks", "reading and writing", () => Marks(table, First));
            x.Step("unmap_grant_ref of the writing one", "okay", () => x.Unmap(second.Handle, second.DevBusAddr));
            x.Step("marks", "reading", () => Marks(table, First));
            x.Step("unmap_grant_ref of the other", "okay", () => x.Unmap(map.Handle, map.DevBusAddr));
        }),
        new("grant.read-only-entry", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Page, PermitAccess | ReadOnly);
            x.Step("map_grant_ref for writing", "general_error", () => x.MapDevice(x.Pvh, First).Status);
            x.Step("marks", "none", () => Marks(table, First));
            GrantTableOp.MapGrantRef map = x.MapDevice(x.Pvh, First, GrantTableOp.MapDevice | GrantTableOp.MapReadOnly);
            x.Step("map_grant_ref(readonly)", "okay", () => map.Status);
            x.Unmap(map.Handle, map.DevBusAddr);
        }),
        new("grant.entries-that-grant-nothing", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            x.Step("map_grant_ref of an invalid entry", "general_error", () => x.MapDevice(x.Pvh, First).Status);
            Grant(table, First, 5, Page);
            x.Step("of one for domain 5", "general_error", () => x.MapDevice(x.Pvh, First).Status);
            Grant(table, First, 0, Page, AcceptTransfer);
            x.Step("of one that accepts a transfer", "general_error", () => x.MapDevice(x.Pvh, First).Status);
            Grant(table, First, 0, Page, Transitive);
            x.Step("of a transitive one in version 1", "general_error", () => x.MapDevice(x.Pvh, First).Status);
            Grant(table, First, 0, Page, PermitAccess | SubPage);
            x.Step("of a sub-page one", "general_error", () => x.MapDevice(x.Pvh, First).Status);
        }),
        new("grant.references-out-of-range", x =>
        {
            x.Step("map_grant_ref(65536)", "bad_gntref", () => x.MapDevice(x.Pvh, 65536).Status);
            x.Step("map_grant_ref(~0)", "bad_gntref", () => x.MapDevice(x.Pvh, uint.MaxValue).Status);
        }),
        new("grant.frames-that-are-none", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Machine.HoleGfn);
            x.Step("map_grant_ref of a hole", "bad_page", () => x.MapDevice(x.Pvh, First).Status);
            x.Step("marks", "none", () => Marks(table, First));
            Grant(table, First, 0, uint.MaxValue);
            x.Step("of frame 2^32 - 1", "bad_page", () => x.MapDevice(x.Pvh, First).Status);
        }),
        new("grant.map-flags", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Page);
            x.Step("map_grant_ref(flags 0)", "bad_gntref", () => x.MapDevice(x.Pvh, First, 0).Status);
            x.Step("map_grant_ref(readonly alone)", "bad_gntref", () => x.MapDevice(x.Pvh, First, GrantTableOp.MapReadOnly).Status);
        }),
        new("grant.domains-that-are-none", x =>
        {
            x.Step("map_grant_ref of domain 999", "bad_domain", () => x.MapDevice(Run.Nobody, First).Status);
            x.Step("of DOMID_SELF", "bad_domain", () => x.MapDevice(Domid.Self, First).Status);
            x.Step("of DOMID_INVALID", "bad_domain", () => x.MapDevice(Domid.Invalid, First).Status);
        }),
        new("grant.unmap-bad-handles", x =>
        {
            x.Step("unmap_grant_ref(handle 100000)", "bad_handle", () => x.Unmap(100_000, 0x1000));
            x.Step("unmap_grant_ref(handle ~0)", "bad_handle", () => x.Unmap(uint.MaxValue, 0x1000));
        }),
        new("grant.unmap-bad-address", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Page);
            GrantTableOp.MapGrantRef map = x.MapDevice(x.Pvh, First);
            x.Step("map_grant_ref", "okay", () => map.Status);
            x.Step("unmap_grant_ref(another dev_bus_addr)", "bad_dev_addr", () => x.Unmap(map.Handle, map.DevBusAddr + XenPage.Size));
            x.Step("unmap_grant_ref(no address)", "okay", () => x.Unmap(map.Handle, 0));
            x.Step("marks: nothing was unmapped", "reading and writing", () => Marks(table, First));
            x.Step("unmap_grant_ref", "okay", () => x.Unmap(map.Handle, map.DevBusAddr));
        }),
        new("grant.revoked-while-mapped", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Page);
            GrantTableOp.MapGrantRef map = x.MapDevice(x.Pvh, First);
            x.Step("map_grant_ref", "okay", () => map.Status);
            Grant(table, First, 0, 0, Invalid);
            x.Step("map_grant_ref after the granter cleared the entry", "okay", () => Again(x));
            x.Step("unmap_grant_ref", "okay", () => x.Unmap(map.Handle, map.DevBusAddr));
            x.Step("map_grant_ref once it is unused", "general_error", () => x.MapDevice(x.Pvh, First).Status);
        }, "A granter may not clear an entry that is marked. One that does is not asked again while the grant is in use."),
        new("grant.redirected-while-mapped", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Page);
            GrantTableOp.MapGrantRef map = x.MapDevice(x.Pvh, First);
            table[First].Frame = (uint)Page + 1;
            GrantTableOp.MapGrantRef second = x.MapDevice(x.Pvh, First);
            x.Step("a second map_grant_ref after the granter wrote another frame", "okay", () => second.Status);
            x.Step("it is of the first frame", "yes", () => second.DevBusAddr == map.DevBusAddr);
            x.Unmap(second.Handle, second.DevBusAddr);
            x.Unmap(map.Handle, map.DevBusAddr);
        }),
        new("grant.entry-for-another-while-mapped", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Page);
            GrantTableOp.MapGrantRef map = x.MapDevice(x.Pvh, First);
            table[First].Domid = 5;
            x.Step("map_grant_ref after the granter wrote another domain", "okay", () => Again(x));
            x.Unmap(map.Handle, map.DevBusAddr);
        }),
        new("grant.ballooned-while-mapped", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            x.Defer(() => x.Populate(x.Pvh, Page + 2));
            Grant(table, First, 0, Page + 2);
            x.Step("gntdev: map", "0", () => x.Gntdev.Map([new(x.Pvh, First)], writable: true, out GrantMapping mapping) is var result && result == 0 ? UseBallooned(x, mapping) : result);
            x.Step("gntdev: map once it is unmapped", "EINVAL", () => x.Gntdev.Map([new(x.Pvh, First)], writable: true, out _));
        }),
        new("gntdev.map-shares-memory", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Page);
            Grant(table, First + 1, 0, Page + 1);
            XenMapping foreign = x.Map(x.Pvh, Page + 1);
            x.Step("map two grants", "0", () => x.Gntdev.Map([new(x.Pvh, First), new(x.Pvh, First + 1)], writable: true, out GrantMapping mapping) is var result && result == 0
                ? Write(x, mapping, XenPage.Size + 5, 0x5a) : result);
            x.Step("the guest's page has the byte", "90", () => (uint)foreign.Pointer[5]);
            x.Step("marks", "none", () => Marks(table, First));
        }),
        new("gntdev.one-bad-grant-fails-all", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Page);
            x.Step("map a good and a bad one", "EINVAL", () => x.Gntdev.Map([new(x.Pvh, First), new(x.Pvh, First + 1)], writable: true, out _));
            x.Step("marks of the good one", "none", () => Marks(table, First));
        }),
        new("gntdev.read-only", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Page, PermitAccess | ReadOnly);
            x.Step("map for writing", "EINVAL", () => x.Gntdev.Map([new(x.Pvh, First)], writable: true, out _));
            x.Step("map for reading", "0", () => x.Gntdev.Map([new(x.Pvh, First)], writable: false, out GrantMapping mapping) is var result && result == 0 ? x.Gntdev.Unmap(mapping) : result);
        }),
        new("gntdev.bad", x =>
        {
            x.Step("map nothing", "EINVAL", () => x.Gntdev.Map([], writable: true, out _));
            x.Step("map a reference out of range", "EINVAL", () => x.Gntdev.Map([new(x.Pvh, 65536)], writable: true, out _));
            x.Step("map of domain 999", "EINVAL", () => x.Gntdev.Map([new(Run.Nobody, First)], writable: true, out _));
        }),
        new("gntdev.same-grant-twice", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Page);
            x.Step("map one grant to two pages", "0", () => x.Gntdev.Map([new(x.Pvh, First), new(x.Pvh, First)], writable: true, out GrantMapping mapping) is var result && result == 0
                ? Same(x, mapping) : result);
            x.Step("marks", "none", () => Marks(table, First));
        }),
        new("gntdev.domain-dies-under-a-mapping", x =>
        {
            ushort victim = x.Machine.CreateVictim();
            GrantEntryV1* table = x.Table(victim);
            Grant(table, First, 0, Page);
            int result = x.Gntdev.Map([new(victim, First)], writable: true, out GrantMapping mapping);
            x.Step("map", "0", () => result);
            *(ulong*)mapping.Address = 0xdead;
            x.Step("its toolstack destroys it", "0", () => x.Machine.Destroy(victim));
            x.Step("the mapping reads what it read", "0xdead", () => *(ulong*)mapping.Address);
            x.Step("map again, while it is mapped", "0", () => x.Gntdev.Map([new(victim, First)], writable: true, out GrantMapping again) is var second && second == 0 ? x.Gntdev.Unmap(again) : second);
            x.Step("unmap", "0", () => x.Gntdev.Unmap(mapping));
            x.Step("map again, once it is not", "EINVAL", () => x.Gntdev.Map([new(victim, First)], writable: true, out _));
        }),
        new("gntdev.notify-when-unmapped", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Page);
            XenMapping foreign = x.Map(x.Pvh, Page);
            uint offered = x.Evtchn.BindUnbound(0);
            using IEvtchn other = x.Machine.Kernel.OpenEvtchn();
            uint bound = other.BindInterdomain(0, offered);
            foreign.Pointer[100] = 1;
            x.Step("map", "0", () => x.Gntdev.Map([new(x.Pvh, First)], writable: true, out GrantMapping mapping) is var result && result == 0 ? NotifyAndUnmap(x, mapping, 100, bound) : result);
            x.Step("the byte", "0", () => (uint)foreign.Pointer[100]);
            x.Step("the event came", "yes", () => Run.IsReadable(x.Evtchn, 1000));
        }),
        new("gntdev.notify-errors", x =>
        {
            GrantEntryV1* table = x.Table(x.Pvh);
            Grant(table, First, 0, Page);
            int result = x.Gntdev.Map([new(x.Pvh, First)], writable: false, out GrantMapping mapping);
            x.Step("map for reading", "0", () => result);
            x.Step("clear a byte of a read-only mapping", "EINVAL", () => x.Gntdev.SetUnmapNotify(mapping, 0, null));
            x.Step("an event to a port that is nobody's", "EINVAL", () => x.Gntdev.SetUnmapNotify(mapping, null, 60_000));
            x.Step("unmap", "0", () => x.Gntdev.Unmap(mapping));
            x.Step("clear a byte of no mapping", "ENOENT", () => x.Gntdev.SetUnmapNotify(mapping, 0, null));
        }),
        new("gntalloc.limits", x =>
        {
            x.Step("allocate 8", "8", () => x.Own(x.Gntalloc.Allocate(x.Pvh, writable: true, new uint[8])).Pages);
            x.Step("allocate 1025", "ENOSPC", () => x.Own(x.Gntalloc.Allocate(x.Pvh, writable: true, new uint[1025])).Pages);
        }),
        new("gntalloc.to-oneself", x =>
        {
            uint[] references = new uint[2];
            XenMapping pages = x.Own(x.Gntalloc.Allocate(0, writable: true, references));
            x.Step("map what domain 0 granted to itself", "0", () => x.Gntdev.Map([new(0, references[1])], writable: true, out GrantMapping mapping) is var result && result == 0
                ? Write(x, mapping, 7, 0x33) : result);
            x.Step("the byte", "51", () => (uint)pages.Pointer[XenPage.Size + 7]);
            x.Step("map what was granted to the guest", "EINVAL", () =>
            {
                uint[] other = new uint[1];
                x.Own(x.Gntalloc.Allocate(x.Pvh, writable: true, other));
                return x.Gntdev.Map([new(0, other[0])], writable: true, out _);
            });
        }),
    ];

    // A mapping that is given back at once: only its status counts.
    private static GrantStatus Again(Run x)
    {
        GrantTableOp.MapGrantRef map = x.MapDevice(x.Pvh, First);
        if (map.Status == GrantStatus.Okay) x.Unmap(map.Handle, map.DevBusAddr);
        return map.Status;
    }

    private static int Write(Run x, in GrantMapping mapping, int at, byte value)
    {
        ((byte*)mapping.Address)[at] = value;
        return x.Gntdev.Unmap(mapping);
    }

    private static int Same(Run x, in GrantMapping mapping)
    {
        var bytes = (byte*)mapping.Address;
        bytes[9] = 0x77;
        int result = bytes[XenPage.Size + 9] == 0x77 ? 0 : -1;
        return x.Gntdev.Unmap(mapping) | result;
    }

    private static int UseBallooned(Run x, in GrantMapping mapping)
    {
        var word = (ulong*)mapping.Address;
        *word = 0xdead;
        int gone = x.Decrease(x.Pvh, Page + 2);
        bool kept = *word == 0xdead;
        *word = 0xbeef;
        int unmapped = x.Gntdev.Unmap(mapping);
        return gone == 1 && kept ? unmapped : -1;
    }

    private static int NotifyAndUnmap(Run x, in GrantMapping mapping, ulong at, uint port)
    {
        int set = x.Gntdev.SetUnmapNotify(mapping, at, port);
        int unmapped = x.Gntdev.Unmap(mapping);
        return set < 0 ? set : unmapped;
    }
}
