using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static Conformance.Scripts.Grants;
using static XenMemoryProvider.Abi.GrantFlags;

namespace Conformance.Scripts;

/// <summary>Copying by grants, and what grant_table_op tells of tables.</summary>
internal static unsafe class GrantCopyScripts
{
    private const ulong Page = Machine.FreeGfn + 0x500;

    public static IReadOnlyList<Script> All { get; } =
    [
        new("copy.between-grants", x =>
        {
            GrantEntryV1* table = Two(x);
            XenMapping from = x.Map(x.Pvh, Page), to = x.Map(x.Pvh, Page + 1);
            *(ulong*)(from.Pointer + 100) = 0x1234;
            *(ulong*)(to.Pointer + 4088) = 0;
            x.Step("copy 8 bytes to the end of a page", "okay", () => x.Copy(Between(x.Pvh, First, First + 1, 8, 100, 4088)));
            x.Step("they are there", "0x1234", () => *(ulong*)(to.Pointer + 4088));
            x.Step("marks", "none", () => Marks(table, First + 1));
        }),
        new("copy.over-the-end-of-a-page", x =>
        {
            Two(x);
            x.Step("source offset 4090, 7 bytes", "bad_copy_arg", () => x.Copy(Between(x.Pvh, First, First + 1, 7, 4090)));
            x.Step("dest offset 4090, 7 bytes", "bad_copy_arg", () => x.Copy(Between(x.Pvh, First, First + 1, 7, 0, 4090)));
            x.Step("4097 bytes", "bad_copy_arg", () => x.Copy(Between(x.Pvh, First, First + 1, 4097)));
            x.Step("4096 bytes", "okay", () => x.Copy(Between(x.Pvh, First, First + 1, 4096)));
            x.Step("0 bytes", "okay", () => x.Copy(Between(x.Pvh, First, First + 1, 0)));
        }),
        new("copy.to-a-read-only-grant", x =>
        {
            GrantEntryV1* table = Two(x);
            Grant(table, First + 1, 0, Page + 1, PermitAccess | ReadOnly);
            x.Step("copy to it", "general_error", () => x.Copy(Between(x.Pvh, First, First + 1)));
            x.Step("copy from it", "okay", () => x.Copy(Between(x.Pvh, First + 1, First)));
        }),
        new("copy.grants-that-grant-nothing", x =>
        {
            GrantEntryV1* table = Two(x);
            x.Step("from an invalid entry", "general_error", () => x.Copy(Between(x.Pvh, First + 2, First)));
            x.Step("to an invalid entry", "general_error", () => x.Copy(Between(x.Pvh, First, First + 2)));
            Grant(table, First + 2, 5, Page);
            x.Step("from one for domain 5", "general_error", () => x.Copy(Between(x.Pvh, First + 2, First)));
            x.Step("from reference 65536", "bad_gntref", () => x.Copy(Between(x.Pvh, 65536, First)));
            x.Step("to reference ~0", "bad_gntref", () => x.Copy(Between(x.Pvh, First, uint.MaxValue)));
            Grant(table, First + 2, 0, Machine.HoleGfn);
            x.Step("from a hole", "bad_page", () => x.Copy(Between(x.Pvh, First + 2, First)));
            x.Step("marks of the other side", "none", () => Marks(table, First));
        }),
        new("copy.domains", x =>
        {
            Two(x);
            GrantTableOp.Copy copy = Between(x.Pvh, First, First + 1);
            x.Step("from a grant of domain 999", "bad_domain", () => x.Copy(copy with { Source = copy.Source with { Domid = Run.Nobody } }));
            x.Step("to a grant of domain 999", "bad_domain", () => x.Copy(copy with { Dest = copy.Dest with { Domid = Run.Nobody } }));
            x.Step("from a frame of the guest, without a grant", "permission_denied", () => x.Copy(copy with { Flags = GrantTableOp.CopyDestGref }));
            x.Step("to a frame of the guest, without a grant", "permission_denied", () => x.Copy(copy with { Flags = GrantTableOp.CopySourceGref }));
            x.Step("to frame ~0 of the caller", "bad_page",
                () => x.Copy(copy with { Flags = GrantTableOp.CopySourceGref, Dest = new() { Domid = Domid.Self, Gmfn = ulong.MaxValue } }));
        }),
        new("copy.from-a-page-of-type-ram-ro", x =>
        {
            Two(x);
            x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRo, Page + 1));
            x.Defer(() => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRw, Page + 1)));
            x.Step("copy from it", "okay", () => x.Copy(Between(x.Pvh, First + 1, First)));
            x.Step("copy to it", "okay", () => x.Copy(Between(x.Pvh, First, First + 1)));
        }, "A frame that the guest may not write is RAM like any other for those it is granted to."),
        new("copy.within-one-grant", x =>
        {
            Two(x);
            XenMapping page = x.Map(x.Pvh, Page);
            *(ulong*)page.Pointer = 0x0807060504030201;
            x.Step("copy a page over itself, 1 byte further", "okay", () => x.Copy(Between(x.Pvh, First, First, 7, 0, 1)));
            x.Step("the first byte went up", "0x101010101010101", () => *(ulong*)page.Pointer);
        }, "Xen copies upwards and does not care whether the places overlap."),
        new("copy.batch-goes-on-after-an-error", x =>
        {
            Two(x);
            GrantTableOp.Copy[] copies = [Between(x.Pvh, First, First + 1, 5000), Between(x.Pvh, First, First + 1), Between(x.Pvh, 65536, First + 1)];
            x.Step("copy of three", "0", () => x.Privcmd.GrantTableOp(GrantTableOp.Command.Copy, copies.AsSpan()));
            x.Step("statuses", "bad_copy_arg okay bad_gntref", () => string.Join(' ', copies.Select(copy => ((Outcome)copy.Status).Text)));
        }),
        new("copy.by-the-driver", x =>
        {
            Two(x);
            XenMapping page = x.Map(x.Pvh, Page);
            byte* local = stackalloc byte[32];
            new Span<byte>(local, 32).Fill(0x2b);
            Gntdev.GrantCopySegment[] segments =
            [
                new() { SourceVirt = (ulong)local, DestRef = First, DestDomid = x.Pvh, DestOffset = 8, Len = 32, Flags = Gntdev.CopyDestGref },
                new() { SourceRef = 65536, SourceDomid = x.Pvh, DestVirt = (ulong)local, Len = 8, Flags = Gntdev.CopySourceGref },
            ];
            x.Step("GRANT_COPY of two", "0", () => x.Gntdev.Copy(segments));
            x.Step("statuses", "okay bad_gntref", () => $"{((Outcome)segments[0].Status).Text} {((Outcome)segments[1].Status).Text}");
            x.Step("the guest has the bytes", "43", () => (uint)page.Pointer[39]);
            segments[0].Flags = 0;
            x.Step("without a grant on either side", "EINVAL", () => x.Gntdev.Copy(segments.AsSpan(0, 1)));
            segments[0].Flags = Gntdev.CopyDestGref;
            segments[0].DestOffset = 4090;
            x.Step("over the end of the granted page", "EINVAL", () => x.Gntdev.Copy(segments.AsSpan(0, 1)));
        }),
        new("copy.while-mapped", x =>
        {
            GrantEntryV1* table = Two(x);
            GrantTableOp.MapGrantRef map = x.MapDevice(x.Pvh, First);
            x.Step("copy from a mapped grant", "okay", () => x.Copy(Between(x.Pvh, First, First + 1)));
            x.Step("marks of the mapping stay", "reading and writing", () => Marks(table, First));
            x.Unmap(map.Handle, map.DevBusAddr);
        }),
        new("table.query-size", x =>
        {
            GrantTableOp.QuerySize[] sizes = [new() { Dom = x.Pvh }, new() { Dom = Run.Nobody }];
            x.Step("query_size of two at once", "EINVAL", () => x.Privcmd.GrantTableOp(GrantTableOp.Command.QuerySize, sizes.AsSpan()));
            x.Step("of one", "0", () => x.Privcmd.GrantTableOp(GrantTableOp.Command.QuerySize, sizes.AsSpan(0, 1)));
            x.Step("max_nr_frames", "64", () => sizes[0].MaxNrFrames);
            x.Step("of domain 999", "0", () => x.Privcmd.GrantTableOp(GrantTableOp.Command.QuerySize, sizes.AsSpan(1, 1)));
            x.Step("its status", "bad_domain", () => sizes[1].Status);
        }),
        new("table.versions", x =>
        {
            GrantTableOp.GetVersion[] version = [new() { Dom = x.Pvh }];
            x.Step("get_version", "0", () => x.Privcmd.GrantTableOp(GrantTableOp.Command.GetVersion, version.AsSpan()));
            x.Step("version", "1", () => version[0].Version);
            version[0].Dom = Run.Nobody;
            x.Step("get_version of domain 999", "ESRCH", () => x.Privcmd.GrantTableOp(GrantTableOp.Command.GetVersion, version.AsSpan()));
            GrantTableOp.SetVersion[] set = [new() { Version = 3 }];
            x.Step("set_version(3)", "EINVAL", () => x.Privcmd.GrantTableOp(GrantTableOp.Command.SetVersion, set.AsSpan()));
            set[0].Version = 0;
            x.Step("set_version(0)", "EINVAL", () => x.Privcmd.GrantTableOp(GrantTableOp.Command.SetVersion, set.AsSpan()));
        }),
        new("table.status-frames-of-version-1", x =>
        {
            using HypercallBuffer buffer = x.Privcmd.AllocateBuffer(XenPage.Size);
            var argument = new GrantTableOp.GetStatusFrames { NrFrames = 1, Dom = x.Pvh, FrameList = buffer.Put<ulong>(new ulong[1]) };
            ulong handle = buffer.Put(argument);
            var call = new Privcmd.Hypercall { Op = (ulong)Hypercall.GrantTableOp, Arg0 = (ulong)GrantTableOp.Command.GetStatusFrames, Arg1 = handle, Arg2 = 1 };
            x.Step("get_status_frames", "0", () => x.Privcmd.Hypercall(call, buffer));
            x.Step("its status", "general_error", () => buffer.At<GrantTableOp.GetStatusFrames>(handle).Status);
        }),
        new("table.setup", x =>
        {
            x.Step("setup_table(1 frame) of HVM", "okay", () => Setup(x, x.Hvm, 1));
            x.Step("setup_table(65 frames)", "general_error", () => Setup(x, x.Hvm, 65));
            x.Step("setup_table(0 frames)", "okay", () => Setup(x, x.Hvm, 0));
            x.Step("setup_table of domain 999", "bad_domain", () => Setup(x, Run.Nobody, 1));
        }),
        new("table.swap", x =>
        {
            GrantTableOp.SwapGrantRef[] swap = [new() { RefA = 65536, RefB = 8 }];
            x.Step("swap_grant_ref(65536, 8)", "0", () => x.Privcmd.GrantTableOp(GrantTableOp.Command.SwapGrantRef, swap.AsSpan()));
            x.Step("its status", "bad_gntref", () => swap[0].Status);
        }),
        new("table.unknown-command", x =>
        {
            GrantTableOp.SetVersion[] nothing = [default];
            x.Step("grant_table_op 13", "ENOSYS", () => x.Privcmd.GrantTableOp((GrantTableOp.Command)13, nothing.AsSpan()));
            x.Step("grant_table_op 0x1000", "EINVAL", () => x.Privcmd.GrantTableOp((GrantTableOp.Command)0x1000, nothing.AsSpan()));
            x.Step("map_grant_ref of nothing", "0", () => x.Privcmd.GrantTableOp(GrantTableOp.Command.MapGrantRef, Span<GrantTableOp.MapGrantRef>.Empty));
        }),
    ];

    private static GrantEntryV1* Two(Run x)
    {
        GrantEntryV1* table = x.Table(x.Pvh);
        Grant(table, First, 0, Page);
        Grant(table, First + 1, 0, Page + 1);
        return table;
    }

    private static Outcome Setup(Run x, ushort domid, uint frames)
    {
        using HypercallBuffer buffer = x.Privcmd.AllocateBuffer(XenPage.Size);
        var argument = new GrantTableOp.SetupTable { NrFrames = frames, Dom = domid, FrameList = buffer.Put<ulong>(new ulong[80]) };
        ulong handle = buffer.Put(argument);
        var call = new Privcmd.Hypercall { Op = (ulong)Hypercall.GrantTableOp, Arg0 = (ulong)GrantTableOp.Command.SetupTable, Arg1 = handle, Arg2 = 1 };
        int result = x.Privcmd.Hypercall(call, buffer);
        return result < 0 ? result : buffer.At<GrantTableOp.SetupTable>(handle).Status;
    }
}
