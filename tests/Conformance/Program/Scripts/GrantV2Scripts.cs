using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static XenMemoryProvider.Abi.GrantFlags;

namespace Conformance.Scripts;

/// <summary>Grant tables of version 2, which only the guest itself can choose; and a guest's own use of others' grants.</summary>
internal static unsafe class GrantV2Scripts
{
    private const ulong Page = Machine.FreeGfn + 0x700;
    private const uint First = Grants.First;

    public static IReadOnlyList<Script> All { get; } =
    [
        new("v2.choose-and-go-back", x =>
        {
            x.Step("set_version(2)", "0", () => SetVersion(x, 2));
            x.Step("get_version", "2", () => Version(x));
            x.Step("set_version(2) again", "0", () => SetVersion(x, 2));
            x.Step("set_version(1)", "0", () => SetVersion(x, 1));
            x.Step("get_version", "1", () => Version(x));
        }),
        new("v2.entries-are-cleared", x =>
        {
            GrantEntryV1* one = x.Table(x.Agent.Domid);
            Grants.Grant(one, First, 0, Page);
            x.Step("map_grant_ref in version 1", "okay", () => MapAndBack(x, First));
            GrantEntryV2* table = Two(x, out _);
            x.Step("the entry after set_version(2)", "0", () => (uint)table[First].Flags);
        }),
        new("v2.marks-are-in-the-status-words", x =>
        {
            GrantEntryV2* table = Two(x, out ushort* status);
            Grant(table, First, 0, Page);
            GrantTableOp.MapGrantRef map = x.MapDevice(x.Agent.Domid, First);
            x.Step("map_grant_ref", "okay", () => map.Status);
            x.Step("status word", "reading and writing", () => Marks(status, First));
            x.Step("the entry itself has none", "1", () => (uint)table[First].Flags);
            x.Step("unmap_grant_ref", "okay", () => x.Unmap(map.Handle, map.DevBusAddr));
            x.Step("status word", "none", () => Marks(status, First));
        }),
        new("v2.read-only", x =>
        {
            GrantEntryV2* table = Two(x, out ushort* status);
            Grant(table, First, 0, Page, PermitAccess | ReadOnly);
            x.Step("map_grant_ref for writing", "general_error", () => x.MapDevice(x.Agent.Domid, First).Status);
            x.Step("status word", "none", () => Marks(status, First));
            x.Step("map_grant_ref(readonly)", "okay", () => MapAndBack(x, First, GrantTableOp.MapDevice | GrantTableOp.MapReadOnly));
        }),
        new("v2.fewer-entries-in-a-frame", x =>
        {
            Two(x, out _);
            x.Step("map_grant_ref of an entry that is none", "general_error", () => x.MapDevice(x.Agent.Domid, 255).Status);
            x.Step("map_grant_ref(16384), beyond 64 frames", "bad_gntref", () => x.MapDevice(x.Agent.Domid, 16384).Status);
        }),
        new("v2.sub-page-is-for-copying", x =>
        {
            GrantEntryV2* table = Two(x, out ushort* status);
            Grant(table, First, 0, Page + 1);
            SubPage(table, First + 1, 0, Page, 100, 50);
            x.Step("map_grant_ref of a sub-page", "general_error", () => x.MapDevice(x.Agent.Domid, First + 1).Status);
            x.Step("copy of all of it", "okay", () => x.Copy(Grants.Between(x.Agent.Domid, First + 1, First, 50, 100)));
            x.Step("copy that begins before it", "general_error", () => x.Copy(Grants.Between(x.Agent.Domid, First + 1, First, 10, 99)));
            x.Step("copy that ends after it", "general_error", () => x.Copy(Grants.Between(x.Agent.Domid, First + 1, First, 51, 100)));
            x.Step("status word", "none", () => Marks(status, First + 1));
        }),
        new("v2.transitive-is-for-copying", x =>
        {
            GrantEntryV1* granters = x.Table(x.Pvh);
            Grants.Grant(granters, First, x.Agent.Domid, Page);
            XenMapping source = x.Map(x.Pvh, Page), dest = x.Map(x.Agent.Domid, Page);
            *(ulong*)source.Pointer = 0x1357;
            GrantEntryV2* table = Two(x, out _);
            Transitive(table, First, 0, x.Pvh, First);
            Grant(table, First + 1, 0, Page);
            x.Step("map_grant_ref of a transitive grant", "general_error", () => x.MapDevice(x.Agent.Domid, First).Status);
            x.Step("copy from it", "okay", () => x.Copy(Grants.Between(x.Agent.Domid, First, First + 1, 8)));
            x.Step("the bytes of the third domain", "0x1357", () => *(ulong*)dest.Pointer);
            x.Step("marks of the third domain's entry", "none", () => Grants.Marks(granters, First));
            Transitive(table, First, 0, Run.Nobody, First);
            x.Step("copy from one that names domain 999", "general_error", () => x.Copy(Grants.Between(x.Agent.Domid, First, First + 1, 8)));
            Transitive(table, First, 0, x.Pvh, First + 1);
            x.Step("copy from one that names an invalid grant", "general_error", () => x.Copy(Grants.Between(x.Agent.Domid, First, First + 1, 8)));
        }),
        new("v2.revoked-while-mapped", x =>
        {
            GrantEntryV2* table = Two(x, out ushort* status);
            Grant(table, First, 0, Page);
            GrantTableOp.MapGrantRef map = x.MapDevice(x.Agent.Domid, First);
            Volatile.Write(ref *(ushort*)(table + First), 0);
            x.Step("status word after the granter cleared the entry", "reading and writing", () => Marks(status, First));
            x.Step("unmap_grant_ref", "okay", () => x.Unmap(map.Handle, map.DevBusAddr));
            x.Step("status word", "none", () => Marks(status, First));
            x.Step("map_grant_ref", "general_error", () => x.MapDevice(x.Agent.Domid, First).Status);
        }),
        new("v2.no-change-while-mapped", x =>
        {
            x.Step("set_version(2)", "0", () => SetVersion(x, 2));
            x.Defer(() => SetVersion(x, 1));
            using (XenMapping entries = x.Privcmd.MapResource(x.Agent.Domid, MemoryOp.ResourceType.GrantTable, MemoryOp.GrantTableIdShared, 0, 1))
                Grant((GrantEntryV2*)entries.Pointer, First, 0, Page);
            GrantTableOp.MapGrantRef map = x.MapDevice(x.Agent.Domid, First);
            x.Step("map_grant_ref", "okay", () => map.Status);
            x.Step("set_version(1) while a grant is mapped", "EBUSY", () => SetVersion(x, 1));
            x.Step("unmap_grant_ref", "okay", () => x.Unmap(map.Handle, map.DevBusAddr));
            x.Step("set_version(1)", "0", () => SetVersion(x, 1));
        }),
        new("v2.status-frames-that-go-while-mapped", x =>
        {
            Agent agent = x.Own(x.Machine.CreateAgent());
            agent.Reset();
            var two = new GrantTableOp.SetVersion { Version = 2 };
            x.Step("set_version(2)", "0", () => agent.Hypercall(Hypercall.GrantTableOp, (ulong)GrantTableOp.Command.SetVersion, ref two, 1));
            x.Own(x.Privcmd.MapResource(agent.Domid, MemoryOp.ResourceType.GrantTable, MemoryOp.GrantTableIdStatus, 0, 1));
            ulong one = agent.Put(new GrantTableOp.SetVersion { Version = 1 });
            x.Step("set_version(1) while domain 0 maps a status frame", "the domain is gone", () =>
            {
                agent.Start(new AgentOrder(AgentWork.Hypercall, (ulong)Hypercall.GrantTableOp, (ulong)GrantTableOp.Command.SetVersion, one, 1));
                return agent.Finish();
            });
        }, "Xen crashes a translated guest that goes back to version 1 while anybody maps its status frames as a resource."),
        new("v2.status-resource", x =>
        {
            Two(x, out _);
            x.Step("map status frame 1: the table grows", "1", () => x.Own(x.Privcmd.MapResource(x.Agent.Domid, MemoryOp.ResourceType.GrantTable, MemoryOp.GrantTableIdStatus, 1, 1)).Pages);
            x.Step("map status frame 8", "EINVAL", () => x.Own(x.Privcmd.MapResource(x.Agent.Domid, MemoryOp.ResourceType.GrantTable, MemoryOp.GrantTableIdStatus, 8, 1)).Pages);
        }),
        new("guest.swap", x =>
        {
            GrantEntryV1* table = x.Table(x.Agent.Domid);
            Grants.Grant(table, First, 0, Page);
            x.Step("swap_grant_ref", "okay", () => Swap(x, First, First + 1));
            x.Step("the entry is at the other place", "1", () => (uint)table[First + 1].Flags);
            GrantTableOp.MapGrantRef map = x.MapDevice(x.Agent.Domid, First + 1);
            x.Step("swap_grant_ref of a mapped one", "eagain", () => Swap(x, First, First + 1));
            x.Unmap(map.Handle, map.DevBusAddr);
            x.Step("swap_grant_ref(65536)", "bad_gntref", () => Swap(x, First, 65536));
        }),
        new("guest.maps-a-grant", x =>
        {
            ulong gfn = Machine.HoleGfn + 0x80;
            uint[] references = new uint[1];
            XenMapping pages = x.Own(x.Gntalloc.Allocate(x.Agent.Domid, writable: true, references));
            *(uint*)pages.Pointer = 0x600d;
            var map = new GrantTableOp.MapGrantRef { HostAddr = gfn << 12, Flags = GrantTableOp.MapHost, Ref = references[0] };
            x.Step("the guest's map_grant_ref", "okay", () => Table(x, GrantTableOp.Command.MapGrantRef, ref map) is var result && result < 0 ? result : map.Status);
            x.Step("it reads there what domain 0 wrote", "0x600d", () => Load(x, gfn << 12));
            x.Step("get_mem_type", "0", () => MemType(x, gfn));
            var unmap = new GrantTableOp.UnmapGrantRef { HostAddr = (gfn + 1) << 12, Handle = map.Handle };
            x.Step("unmap_grant_ref at another address", "general_error", () => Table(x, GrantTableOp.Command.UnmapGrantRef, ref unmap) is var result && result < 0 ? result : unmap.Status);
            unmap.HostAddr = gfn << 12;
            x.Step("unmap_grant_ref", "okay", () => Table(x, GrantTableOp.Command.UnmapGrantRef, ref unmap) is var result && result < 0 ? result : unmap.Status);
            x.Step("then nothing is there", "0xffffffff", () => Load(x, gfn << 12));
        }),
        new("guest.maps-for-a-device", x =>
        {
            uint[] references = new uint[1];
            x.Own(x.Gntalloc.Allocate(x.Agent.Domid, writable: true, references));
            var map = new GrantTableOp.MapGrantRef { HostAddr = (Machine.HoleGfn + 0x80) << 12, Flags = GrantTableOp.MapHost | GrantTableOp.MapDevice, Ref = references[0] };
            x.Step("map_grant_ref(device_map) of a translated guest", "general_error", () => Table(x, GrantTableOp.Command.MapGrantRef, ref map) is var result && result < 0 ? result : map.Status);
            map.Flags = GrantTableOp.MapHost | GrantTableOp.MapContainsPte;
            x.Step("map_grant_ref(contains_pte)", "general_error", () => Table(x, GrantTableOp.Command.MapGrantRef, ref map) is var result && result < 0 ? result : map.Status);
        }),
        new("guest.copies-its-own-frames", x =>
        {
            XenMapping from = x.Map(x.Agent.Domid, Page), to = x.Map(x.Agent.Domid, Page + 1);
            *(ulong*)from.Pointer = 0x2468;
            var copy = new GrantTableOp.Copy { Source = new() { Domid = Domid.Self, Gmfn = Page }, Dest = new() { Domid = Domid.Self, Gmfn = Page + 1 }, Len = 8 };
            x.Step("copy from frame to frame", "okay", () => Table(x, GrantTableOp.Command.Copy, ref copy) is var result && result < 0 ? result : copy.Status);
            x.Step("the bytes", "0x2468", () => *(ulong*)to.Pointer);
            copy.Source.Gmfn = Machine.HoleGfn;
            x.Step("copy from a hole", "bad_page", () => Table(x, GrantTableOp.Command.Copy, ref copy) is var result && result < 0 ? result : copy.Status);
        }),
        new("guest.may-not-ask-about-others", x =>
        {
            var size = new GrantTableOp.QuerySize { Dom = x.Pvh };
            x.Step("query_size of another guest", "permission_denied", () => Table(x, GrantTableOp.Command.QuerySize, ref size) is var result && result < 0 ? result : size.Status);
            var version = new GrantTableOp.GetVersion { Dom = x.Pvh };
            x.Step("get_version of another guest", "EPERM", () => Table(x, GrantTableOp.Command.GetVersion, ref version));
        }),
    ];

    /// <summary>A grant_table_op of the guest.</summary>
    public static int Table<T>(Run x, GrantTableOp.Command command, ref T argument)
        where T : unmanaged => x.Agent.Hypercall(Hypercall.GrantTableOp, (ulong)command, ref argument, 1);

    private static int SetVersion(Run x, uint version)
    {
        var argument = new GrantTableOp.SetVersion { Version = version };
        return Table(x, GrantTableOp.Command.SetVersion, ref argument);
    }

    private static Outcome Version(Run x)
    {
        GrantTableOp.GetVersion[] version = [new() { Dom = x.Agent.Domid }];
        int result = x.Privcmd.GrantTableOp(GrantTableOp.Command.GetVersion, version.AsSpan());
        return result < 0 ? result : version[0].Version;
    }

    // The agent's table in version 2, until the end of the script. Going back clears it.
    private static GrantEntryV2* Two(Run x, out ushort* status)
    {
        XenException.Check(SetVersion(x, 2), "set_version", x.Agent.Domid);
        x.Defer(() => SetVersion(x, 1));
        XenMapping entries = x.Own(x.Privcmd.MapResource(x.Agent.Domid, MemoryOp.ResourceType.GrantTable, MemoryOp.GrantTableIdShared, 0, 1));
        XenMapping words = x.Own(x.Privcmd.MapResource(x.Agent.Domid, MemoryOp.ResourceType.GrantTable, MemoryOp.GrantTableIdStatus, 0, 1));
        status = (ushort*)words.Pointer;
        return (GrantEntryV2*)entries.Pointer;
    }

    private static void Grant(GrantEntryV2* table, uint reference, ushort grantee, ulong gfn, GrantFlags flags = PermitAccess)
    {
        table[reference].Domid = grantee;
        table[reference].Frame = gfn;
        Volatile.Write(ref *(ushort*)(table + reference), (ushort)flags);
    }

    private static void SubPage(GrantEntryV2* table, uint reference, ushort grantee, ulong gfn, ushort offset, ushort length)
    {
        table[reference].PageOffset = offset;
        table[reference].Length = length;
        Grant(table, reference, grantee, gfn, PermitAccess | GrantFlags.SubPage);
    }

    private static void Transitive(GrantEntryV2* table, uint reference, ushort grantee, ushort domid, uint further)
    {
        table[reference].Frame = 0;
        table[reference].TransitiveDomid = domid;
        table[reference].TransitiveGref = further;
        table[reference].Domid = grantee;
        Volatile.Write(ref *(ushort*)(table + reference), (ushort)GrantFlags.Transitive);
    }

    private static Outcome Marks(ushort* status, uint reference) => ((GrantFlags)Volatile.Read(ref status[reference]) & (Reading | Writing)) switch
    {
        0 => "none",
        Reading => "reading",
        Writing => "writing",
        _ => "reading and writing",
    };

    private static GrantStatus MapAndBack(Run x, uint reference, uint flags = GrantTableOp.MapDevice)
    {
        GrantTableOp.MapGrantRef map = x.MapDevice(x.Agent.Domid, reference, flags);
        if (map.Status == GrantStatus.Okay) x.Unmap(map.Handle, map.DevBusAddr);
        return map.Status;
    }

    private static Outcome Swap(Run x, uint a, uint b)
    {
        var swap = new GrantTableOp.SwapGrantRef { RefA = a, RefB = b };
        int result = Table(x, GrantTableOp.Command.SwapGrantRef, ref swap);
        return result < 0 ? result : swap.Status;
    }

    private static Outcome Load(Run x, ulong address)
    {
        x.Agent.Start(new AgentOrder(AgentWork.Load, address, Width: 4));
        return x.Agent.Finish();
    }

    private static Outcome MemType(Run x, ulong gfn)
    {
        var query = new HvmOp.GetMemType { Domid = x.Agent.Domid, Pfn = gfn };
        int result = x.Privcmd.HvmOp(HvmOp.Command.GetMemType, ref query);
        return result < 0 ? result : (int)query.Type;
    }
}
