using System.Runtime.InteropServices;
using XenMemoryProvider.Abi;
using static XenMemoryProvider.Abi.DmOp;

namespace Conformance.Scripts;

/// <summary>dm_op: types, places and caching of guest frames, and the dirty log.</summary>
internal static class DeviceMemoryScripts
{
    // Frames that other scripts leave alone: some of these changes cannot be undone.
    private const ulong Ro = Machine.FreeGfn + 0x100, Mmio = Machine.FreeGfn + 0x101, Claimed = Machine.FreeGfn + 0x102, Moved = Machine.FreeGfn + 0x103;

    public static IReadOnlyList<Script> All { get; } =
    [
        new("memtype.read-only-and-back", x =>
        {
            x.Step("set_mem_type(ram_ro)", "0", () => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRo, Ro)));
            x.Step("get_mem_type", "ram_ro", () => TypeOf(x, Ro));
            x.Step("set_mem_type(ram_rw)", "0", () => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRw, Ro)));
            x.Step("get_mem_type", "ram_rw", () => TypeOf(x, Ro));
        }),
        new("memtype.unknown", x =>
        {
            x.Step("set_mem_type(3)", "EINVAL", () => x.DmOp(x.Pvh, Dm.MemType((HvmOp.MemType)3, Ro)));
            x.Step("set_mem_type(5)", "EINVAL", () => x.DmOp(x.Pvh, Dm.MemType((HvmOp.MemType)5, Ro)));
        }),
        new("memtype.range", x =>
        {
            x.Step("set_mem_type(0 frames)", "EINVAL", () => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRo, Ro, 0)));
            x.Step("set_mem_type beyond the last frame", "EINVAL", () => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRo, 0x100000)));
            x.Step("set_mem_type(first ~0)", "EINVAL", () => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRo, ulong.MaxValue, 2)));
            x.Step("set_mem_type(pad=1)", "EINVAL", () => x.DmOp(x.Pvh, new DmOp.Call { Op = Command.SetMemType, SetMemType = new() { Nr = 1, FirstPfn = Ro, Pad = 1 } }));
        }),
        new("memtype.hole", x =>
        {
            x.Step("get_mem_type of a hole", "mmio_dm", () => TypeOf(x, Machine.HoleGfn));
            x.Step("set_mem_type(hole, ram_ro)", "EINVAL", () => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRo, Machine.HoleGfn)));
            x.Step("set_mem_type(hole, mmio_dm)", "0", () => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.MmioDm, Machine.HoleGfn)));
        }),
        new("memtype.mmio-is-for-ever", x =>
        {
            x.Step("set_mem_type(ram, mmio_dm)", "0", () => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.MmioDm, Mmio)));
            x.Step("get_mem_type", "mmio_dm", () => TypeOf(x, Mmio));
            x.Step("foreign mapping", "EINVAL", () => x.MapError(x.Pvh, Mmio));
            x.Step("set_mem_type(ram_rw)", "EINVAL", () => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRw, Mmio)));
        }),
        new("memtype.ioreq-server-needs-a-server", x =>
        {
            x.Step("set_mem_type(ioreq_server) before any server claims it", "EINVAL", () => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.IoreqServer, Claimed)));
            ushort id = x.NewServer(x.Pvh);
            x.Step("map_mem_type_to_ioreq_server", "0", () => x.DmOp(x.Pvh, Dm.ClaimMemType(id)));
            x.Step("set_mem_type(ioreq_server)", "0", () => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.IoreqServer, Claimed)));
            x.Step("get_mem_type", "ioreq_server", () => TypeOf(x, Claimed));
            x.Step("set_mem_type(ioreq_server) of a read-only frame", "EINVAL", () =>
            {
                x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRo, Ro));
                int result = x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.IoreqServer, Ro));
                x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRw, Ro));
                return result;
            });
            x.Step("set_mem_type(ram_ro) of a claimed frame", "EINVAL", () => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRo, Claimed)));
            x.Step("foreign mapping of a claimed frame", "0", () => x.MapError(x.Pvh, Claimed));
            x.Step("set_mem_type(ram_rw)", "0", () => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRw, Claimed)));
            x.Step("map_mem_type_to_ioreq_server(flags 0)", "0", () => x.DmOp(x.Pvh, Dm.ClaimMemType(id, flags: 0)));
        }),
        new("memtype.giving-up-turns-frames-back", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("map_mem_type_to_ioreq_server", "0", () => x.DmOp(x.Pvh, Dm.ClaimMemType(id)));
            x.Step("set_mem_type(ioreq_server)", "0", () => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.IoreqServer, Claimed)));
            x.Step("map_mem_type_to_ioreq_server(flags 0)", "0", () => x.DmOp(x.Pvh, Dm.ClaimMemType(id, flags: 0)));
            x.Step("get_mem_type", "ram_rw", () => TypeOf(x, Claimed));
        }),
        new("memtype.claims", x =>
        {
            ushort one = x.NewServer(x.Pvh), other = x.NewServer(x.Pvh);
            x.Step("map_mem_type_to_ioreq_server(type ram_rw)", "EINVAL", () => x.DmOp(x.Pvh, Dm.ClaimMemType(one, type: HvmOp.MemType.RamRw)));
            x.Step("map_mem_type_to_ioreq_server(reads)", "EINVAL", () => x.DmOp(x.Pvh, Dm.ClaimMemType(one, MemAccessRead)));
            x.Step("map_mem_type_to_ioreq_server(flag 4)", "EINVAL", () => x.DmOp(x.Pvh, Dm.ClaimMemType(one, 4)));
            x.Step("map_mem_type_to_ioreq_server(server 7)", "ENOENT", () => x.DmOp(x.Pvh, Dm.ClaimMemType(7)));
            x.Step("giving up what was not claimed", "EINVAL", () => x.DmOp(x.Pvh, Dm.ClaimMemType(one, 0)));
            x.Step("map_mem_type_to_ioreq_server", "0", () => x.DmOp(x.Pvh, Dm.ClaimMemType(one)));
            x.Step("by another server", "EBUSY", () => x.DmOp(x.Pvh, Dm.ClaimMemType(other)));
            x.Step("by the same server", "EBUSY", () => x.DmOp(x.Pvh, Dm.ClaimMemType(one)));
            x.Step("giving up another's", "EINVAL", () => x.DmOp(x.Pvh, Dm.ClaimMemType(other, 0)));
            x.Step("giving up", "0", () => x.DmOp(x.Pvh, Dm.ClaimMemType(one, 0)));
        }),
        new("relocate.one-frame", x =>
        {
            ulong to = Machine.HoleGfn + 0x10;
            x.Defer(() => x.DmOp(x.Pvh, Dm.Relocate(to, Moved)));
            x.Step("relocate_memory", "0", () => x.DmOp(x.Pvh, Dm.Relocate(Moved, to)));
            x.Step("foreign mapping of the old place", "EINVAL", () => x.MapError(x.Pvh, Moved));
            x.Step("of the new place", "0", () => x.MapError(x.Pvh, to));
        }),
        new("relocate.bad", x =>
        {
            x.Step("relocate_memory of a hole", "EINVAL", () => x.DmOp(x.Pvh, Dm.Relocate(Machine.HoleGfn, Machine.HoleGfn + 1)));
            x.Step("relocate_memory(pad=1)", "EINVAL", () => x.DmOp(x.Pvh, new DmOp.Call { Op = Command.RelocateMemory, RelocateMemory = new() { Size = 1, Pad = 1 } }));
            x.Step("relocate_memory(0 frames)", "0", () => x.DmOp(x.Pvh, Dm.Relocate(Moved, Moved + 1, 0)));
        }),
        new("cacheattr.pin-and-delete", x =>
        {
            x.Step("pin_memory_cacheattr(WC)", "0", () => x.DmOp(x.Pvh, Dm.Cache(0x900, 0x90f, CacheAttribute.WC)));
            x.Step("the same range, UC", "0", () => x.DmOp(x.Pvh, Dm.Cache(0x900, 0x90f, CacheAttribute.UC)));
            x.Step("a part of it", "EBUSY", () => x.DmOp(x.Pvh, Dm.Cache(0x900, 0x907, CacheAttribute.WB)));
            x.Step("delete of a part", "ENOENT", () => x.DmOp(x.Pvh, Dm.Cache(0x900, 0x907, CacheAttribute.Delete)));
            x.Step("delete", "0", () => x.DmOp(x.Pvh, Dm.Cache(0x900, 0x90f, CacheAttribute.Delete)));
            x.Step("delete again", "ENOENT", () => x.DmOp(x.Pvh, Dm.Cache(0x900, 0x90f, CacheAttribute.Delete)));
        }),
        new("cacheattr.bad", x =>
        {
            x.Step("pin_memory_cacheattr(type 2)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Cache(0x900, 0x900, (CacheAttribute)2)));
            x.Step("pin_memory_cacheattr(type 8)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Cache(0x900, 0x900, (CacheAttribute)8)));
            x.Step("pin_memory_cacheattr(start after end)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Cache(0x901, 0x900, CacheAttribute.WB)));
            x.Step("pin_memory_cacheattr(end 2^52)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Cache(0x900, 1UL << 52, CacheAttribute.WB)));
            x.Step("pin_memory_cacheattr(pad=1)", "EINVAL",
                () => x.DmOp(x.Pvh, new DmOp.Call { Op = Command.PinMemoryCacheattr, PinMemoryCacheattr = new() { Type = CacheAttribute.WB, Pad = 1 } }));
        }),
        new("dirty.modified-memory", x =>
        {
            x.Step("modified_memory without extents", "EINVAL", () => Modified(x, 1, 0));
            x.Step("modified_memory(2 extents of which 1 is there)", "0", () => Modified(x, 2, 1));
            x.Step("modified_memory(1 extent)", "0", () => Modified(x, 1, 1));
            x.Step("modified_memory(1 of 2 extents)", "0", () => Modified(x, 1, 2));
            x.Step("modified_memory(an extent with pad=1)", "0", () => Modified(x, 1, 1, pad: 1));
            x.Step("modified_memory(opaque beyond nr_extents)", "0", () => Modified(x, 1, 1, opaque: 2));
        }, "Outside log-dirty mode Xen does not look at the extents."),
        new("dirty.vram", x =>
        {
            x.Step("track_dirty_vram(262145 frames)", "EINVAL", () => Dirty(x, 262145, 4096));
            x.Step("track_dirty_vram(16 frames, 1 byte)", "EINVAL", () => Dirty(x, 16, 1));
            x.Step("track_dirty_vram without a bitmap", "EINVAL", () => Dirty(x, 16, 0));
            x.Step("track_dirty_vram(pad=1)", "EINVAL", () => Dirty(x, 16, 2, pad: 1));
        }),
    ];

    private static Outcome TypeOf(Run x, ulong gfn)
    {
        var query = new HvmOp.GetMemType { Domid = x.Pvh, Pfn = gfn };
        int result = XenMemoryProvider.Kernel.PrivcmdExtensions.HvmOp(x.Privcmd, HvmOp.Command.GetMemType, ref query);
        if (result != 0) return result;
        return query.Type switch
        {
            HvmOp.MemType.RamRw => "ram_rw",
            HvmOp.MemType.RamRo => "ram_ro",
            HvmOp.MemType.MmioDm => "mmio_dm",
            HvmOp.MemType.IoreqServer => "ioreq_server",
            _ => $"{query.Type}",
        };
    }

    private static int Modified(Run x, uint count, int given, uint pad = 0, uint opaque = 0)
    {
        var extents = new ModifiedMemoryExtent[given];
        for (int i = 0; i < given; i++) extents[i] = new ModifiedMemoryExtent { Nr = 1, FirstPfn = Machine.FreeGfn, Pad = pad };
        var call = new DmOp.Call { Op = Command.ModifiedMemory, ModifiedMemory = new() { NrExtents = count, Opaque = opaque } };
        return x.DmOp(x.Pvh, call, MemoryMarshal.AsBytes(extents.AsSpan()));
    }

    private static int Dirty(Run x, uint frames, int bytes, uint pad = 0)
    {
        var call = new DmOp.Call { Op = Command.TrackDirtyVram, TrackDirtyVram = new() { Nr = frames, FirstPfn = Machine.FreeGfn, Pad = pad } };
        return x.DmOp(x.Pvh, call, new byte[bytes]);
    }
}
