using static XenMemoryProvider.Abi.DmOp;

namespace Conformance.Scripts;

/// <summary>Ranges that ioreq servers claim.</summary>
internal static class RangeScripts
{
    public static IReadOnlyList<Script> All { get; } =
    [
        new("range.map-and-unmap", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            foreach (IoRangeType type in new[] { IoRangeType.Port, IoRangeType.Memory, IoRangeType.Pci })
            {
                x.Step($"map_io_range({type}, 0x10, 0x1f)", "0", () => x.DmOp(x.Pvh, Dm.Map(id, type, 0x10, 0x1f)));
                x.Step($"unmap_io_range({type}, 0x10, 0x1f)", "0", () => x.DmOp(x.Pvh, Dm.Unmap(id, type, 0x10, 0x1f)));
            }
        }),
        new("range.start-after-end", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("map_io_range(Port, 2, 1)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Port, 2, 1)));
            x.Step("unmap_io_range(Port, 2, 1)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Unmap(id, IoRangeType.Port, 2, 1)));
        }),
        new("range.unknown-type", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("map_io_range(type 3)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Map(id, (IoRangeType)3, 1, 1)));
            x.Step("unmap_io_range(type 3)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Unmap(id, (IoRangeType)3, 1, 1)));
        }),
        new("range.unknown-server", x =>
        {
            x.Step("map_io_range(server 6)", "ENOENT", () => x.DmOp(x.Pvh, Dm.Map(6, IoRangeType.Port, 1, 1)));
            x.Step("unmap_io_range(server 6)", "ENOENT", () => x.DmOp(x.Pvh, Dm.Unmap(6, IoRangeType.Port, 1, 1)));
            x.Step("map_io_range(server 6, start after end)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Map(6, IoRangeType.Port, 2, 1)));
            x.Step("map_io_range(server 6, type 3)", "ENOENT", () => x.DmOp(x.Pvh, Dm.Map(6, (IoRangeType)3, 1, 1)));
        }),
        new("range.padding", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("map_io_range(pad=1)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Map(id, 0, 1, 1) with { MapIoRange = new() { Id = id, Pad = 1, Start = 1, End = 1 } }));
            x.Step("unmap_io_range(pad=1)", "EINVAL", () => x.DmOp(x.Pvh, Dm.Unmap(id, 0, 1, 1) with { UnmapIoRange = new() { Id = id, Pad = 1, Start = 1, End = 1 } }));
        }),
        new("range.overlap-within-a-server", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("map_io_range(Memory, 0x1000, 0x1fff)", "0", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Memory, 0x1000, 0x1fff)));
            x.Step("the same again", "EEXIST", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Memory, 0x1000, 0x1fff)));
            x.Step("its last byte", "EEXIST", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Memory, 0x1fff, 0x2fff)));
            x.Step("a range around it", "EEXIST", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Memory, 0, 0x10000)));
            x.Step("the same numbers as ports", "0", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Port, 0x1000, 0x1fff)));
        }),
        new("range.overlap-between-servers", x =>
        {
            ushort one = x.NewServer(x.Pvh), other = x.NewServer(x.Pvh);
            x.Step("map_io_range(server 0, Port, 0x60, 0x6f)", "0", () => x.DmOp(x.Pvh, Dm.Map(one, IoRangeType.Port, 0x60, 0x6f)));
            x.Step("map_io_range(server 1, Port, 0x60, 0x6f)", "0", () => x.DmOp(x.Pvh, Dm.Map(other, IoRangeType.Port, 0x60, 0x6f)));
        }),
        new("range.whole-number-space", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("map_io_range(Memory, 0, ~0)", "0", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Memory, 0, ulong.MaxValue)));
            x.Step("map_io_range(Memory, 5, 5)", "EEXIST", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Memory, 5, 5)));
            x.Step("unmap_io_range(Memory, 0, ~0)", "0", () => x.DmOp(x.Pvh, Dm.Unmap(id, IoRangeType.Memory, 0, ulong.MaxValue)));
        }),
        new("range.port-beyond-64k", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("map_io_range(Port, 0x10000, 0x1ffff)", "0", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Port, 0x10000, 0x1ffff)));
        }),
        new("range.limit-of-256", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            for (ulong i = 0; i < MaxRanges; i++)
            {
                if (x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Port, i * 4, i * 4)) != 0) x.Step($"range {i}", "0", () => "refused");
            }

            x.Step("the 257th range", "ENOMEM", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Port, 0x8000, 0x8000)));
            x.Step("a neighbour of the first, which only grows it", "0", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Port, 1, 1)));
            x.Step("one of another type", "0", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Memory, 1, 1)));
        }),
        new("range.split-at-the-limit", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            for (ulong i = 0; i < MaxRanges; i++) x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Port, i * 8, i * 8 + 4));
            x.Step("unmap_io_range of the middle of one of 256", "ENOMEM", () => x.DmOp(x.Pvh, Dm.Unmap(id, IoRangeType.Port, 2, 2)));
            x.Step("of its end", "0", () => x.DmOp(x.Pvh, Dm.Unmap(id, IoRangeType.Port, 4, 4)));
        }),
        new("range.neighbours-become-one", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("map_io_range(Port, 0x100, 0x10f)", "0", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Port, 0x100, 0x10f)));
            x.Step("map_io_range(Port, 0x110, 0x11f)", "0", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Port, 0x110, 0x11f)));
            x.Step("unmap_io_range(Port, 0x108, 0x117)", "0", () => x.DmOp(x.Pvh, Dm.Unmap(id, IoRangeType.Port, 0x108, 0x117)));
            x.Step("map_io_range of the middle", "0", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Port, 0x108, 0x117)));
        }),
        new("range.unmap-what-is-not-claimed", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("unmap_io_range of nothing", "ENOENT", () => x.DmOp(x.Pvh, Dm.Unmap(id, IoRangeType.Port, 1, 1)));
            x.Step("map_io_range(Port, 0x10, 0x1f)", "0", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Port, 0x10, 0x1f)));
            x.Step("unmap_io_range(Port, 0x10, 0x20)", "ENOENT", () => x.DmOp(x.Pvh, Dm.Unmap(id, IoRangeType.Port, 0x10, 0x20)));
            x.Step("unmap_io_range(Memory, 0x10, 0x1f)", "ENOENT", () => x.DmOp(x.Pvh, Dm.Unmap(id, IoRangeType.Memory, 0x10, 0x1f)));
        }),
        new("range.gone-with-the-server", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("map_io_range(Pci, 8, 8)", "0", () => x.DmOp(x.Pvh, Dm.Map(id, IoRangeType.Pci, 8, 8)));
            x.Step("destroy_ioreq_server", "0", () => x.DmOp(x.Pvh, Dm.Destroy(id)));
            ushort next = x.NewServer(x.Pvh);
            x.Step("unmap_io_range of a new server with that id", "ENOENT", () => x.DmOp(x.Pvh, Dm.Unmap(next, IoRangeType.Pci, 8, 8)));
        }),
    ];
}
