using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace Conformance.Scripts;

/// <summary>Foreign mappings: which pages map, and what holes, balloons and death do to them.</summary>
internal static unsafe class ForeignScripts
{
    private const ulong Free = Machine.FreeGfn + 0x200;

    public static IReadOnlyList<Script> All { get; } =
    [
        new("foreign.ram", x =>
        {
            x.Step("first frame", "0", () => x.MapError(x.Pvh, 0));
            x.Step("last frame of 32 MiB", "0", () => x.MapError(x.Pvh, 0x1fff));
            x.Step("the frame after it", "EINVAL", () => x.MapError(x.Pvh, 0x2000));
        }),
        new("foreign.hvm-video-hole", x =>
        {
            x.Step("frame 0x9f", "0", () => x.MapError(x.Hvm, 0x9f));
            x.Step("frame 0xa0", "EINVAL", () => x.MapError(x.Hvm, 0xa0));
            x.Step("frame 0xbf", "EINVAL", () => x.MapError(x.Hvm, 0xbf));
            x.Step("frame 0xc0", "0", () => x.MapError(x.Hvm, 0xc0));
        }),
        new("foreign.special-pages", x =>
        {
            x.Step("0xfeff8..0xfefff of PVH", "0 0 0 0 0 0 0 0", () => Errors(x, x.Pvh, Enumerable.Range(0xfeff8, 8)));
            x.Step("0xfeff0..0xfeff7 of PVH", "EINVAL EINVAL EINVAL EINVAL EINVAL EINVAL EINVAL EINVAL", () => Errors(x, x.Pvh, Enumerable.Range(0xfeff0, 8)));
            x.Step("0xfeff0..0xfeff7 of HVM", "0 0 0 0 0 0 0 0", () => Errors(x, x.Hvm, Enumerable.Range(0xfeff0, 8)));
        }),
        new("foreign.hole-is-one-page's-error", x => x.Step("RAM, hole, RAM", "0 EINVAL 0", () => Errors(x, x.Pvh, [(int)Free, (int)Machine.HoleGfn, (int)Free + 1]))),
        new("foreign.same-frame-twice", x =>
        {
            int[] errors = new int[2];
            using XenMapping both = x.Privcmd.MapForeign(x.Pvh, [Free, Free], LibC.PROT_READ | LibC.PROT_WRITE, errors, TimeSpan.Zero);
            x.Step("errors", "0 0", () => $"{errors[0]} {errors[1]}");
            both.Pointer[0] = 0x5a;
            x.Step("a byte written by one page, read by the other", "90", () => (uint)both.Pointer[XenPage.Size]);
        }),
        new("foreign.shared-between-mappings", x =>
        {
            XenMapping writer = Map(x, x.Pvh, Free, LibC.PROT_READ | LibC.PROT_WRITE), reader = Map(x, x.Pvh, Free, LibC.PROT_READ);
            *(ulong*)writer.Pointer = 0x1122334455667788;
            x.Step("read through a read-only mapping", "0x1122334455667788", () => *(ulong*)reader.Pointer);
        }),
        new("foreign.no-such-domain", x =>
        {
            x.Step("domain 999", "ESRCH", () => x.MapError(Run.Nobody, 0));
            x.Step("DOMID_INVALID", "ESRCH", () => x.MapError(Domid.Invalid, 0));
        }),
        new("foreign.own-number", x => x.Step("domain 0 by its number", "ESRCH", () => x.MapError(0, 1))),
        new("foreign.frame-beyond-everything", x =>
        {
            x.Step("frame 0x100000", "EINVAL", () => x.MapError(x.Pvh, 0x100000));
            x.Step("frame 2^40 - 1", "EINVAL", () => x.MapError(x.Pvh, (1UL << 40) - 1));
            x.Step("frame ~0", "EINVAL", () => x.MapError(x.Pvh, ulong.MaxValue));
        }),
        new("foreign.many-pages", x =>
        {
            ulong[] gfns = [.. Enumerable.Range(0x1000, 4096).Select(gfn => (ulong)gfn)];
            int[] errors = new int[gfns.Length];
            x.Step("4096 pages at once, pages that failed", "0", () =>
            {
                x.Privcmd.MapForeign(x.Pvh, gfns, LibC.PROT_READ, errors, TimeSpan.Zero).Dispose();
                return errors.Count(error => error != 0);
            });
        }),
        new("foreign.read-only-frame-maps-for-writing", x =>
        {
            x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRo, Free));
            x.Defer(() => x.DmOp(x.Pvh, Dm.MemType(HvmOp.MemType.RamRw, Free)));
            x.Step("a frame of type ram_ro", "0", () => x.MapError(x.Pvh, Free));
        }),
        new("foreign.balloon-under-a-mapping", x =>
        {
            XenMapping held = Map(x, x.Pvh, Free + 1, LibC.PROT_READ | LibC.PROT_WRITE);
            *(ulong*)held.Pointer = 0xdead;
            x.Step("decrease_reservation of the mapped frame", "1", () => x.Decrease(x.Pvh, Free + 1));
            x.Step("the mapping reads what it read", "0xdead", () => *(ulong*)held.Pointer);
            x.Step("a new mapping", "EINVAL", () => x.MapError(x.Pvh, Free + 1));
            x.Step("populate_physmap", "1", () => x.Populate(x.Pvh, Free + 1));
            XenMapping fresh = Map(x, x.Pvh, Free + 1, LibC.PROT_READ | LibC.PROT_WRITE);
            *(ulong*)fresh.Pointer = 0xbeef;
            x.Step("the old mapping is of the old page", "0xdead", () => *(ulong*)held.Pointer);
        }),
        new("foreign.populate-over-a-mapping", x =>
        {
            XenMapping held = Map(x, x.Pvh, Free + 2, LibC.PROT_READ | LibC.PROT_WRITE);
            *(ulong*)held.Pointer = 0xdead;
            x.Step("populate_physmap where a page is", "1", () => x.Populate(x.Pvh, Free + 2));
            XenMapping fresh = Map(x, x.Pvh, Free + 2, LibC.PROT_READ | LibC.PROT_WRITE);
            *(ulong*)fresh.Pointer = 0xbeef;
            x.Step("the old mapping is of the old page", "0xdead", () => *(ulong*)held.Pointer);
        }),
        new("foreign.remove-under-a-mapping", x =>
        {
            XenMapping held = Map(x, x.Pvh, Free + 3, LibC.PROT_READ | LibC.PROT_WRITE);
            *(ulong*)held.Pointer = 0xdead;
            x.Defer(() => x.Populate(x.Pvh, Free + 3));
            x.Step("remove_from_physmap of the mapped frame", "0", () => x.Remove(x.Pvh, Free + 3));
            x.Step("the mapping reads what it read", "0xdead", () => *(ulong*)held.Pointer);
            x.Step("a new mapping", "EINVAL", () => x.MapError(x.Pvh, Free + 3));
        }),
        new("foreign.domain-dies-under-a-mapping", x =>
        {
            ushort victim = x.Machine.CreateVictim();
            XenMapping held = Map(x, victim, Free, LibC.PROT_READ | LibC.PROT_WRITE);
            *(ulong*)held.Pointer = 0xdead;
            x.Step("its toolstack destroys it", "0", () => x.Machine.Destroy(victim));
            x.Step("the mapping reads what it read", "0xdead", () => *(ulong*)held.Pointer);
            x.Step("nr_vcpus: Xen knows it until the last page is unmapped", "0", () => x.DmOp(victim, new DmOp.Call { Op = DmOp.Command.NrVcpus }));
            x.Step("create_ioreq_server", "EINVAL", () => x.DmOp(victim, Dm.Create()));
            x.Step("a new mapping of another frame", "EINVAL", () => x.MapError(victim, Free + 1));
        }),
        new("foreign.domain-is-forgotten-once-unmapped", x =>
        {
            ushort victim = x.Machine.CreateVictim();
            int[] errors = new int[1];
            using (x.Privcmd.MapForeign(victim, [Free], LibC.PROT_READ, errors, TimeSpan.Zero)) x.Machine.Destroy(victim);
            x.Step("a mapping after the last one went", "ESRCH", () => Run.Eventually(() => x.MapError(victim, Free), -LibC.ESRCH));
        }),
    ];

    /// <summary>Maps one frame for reading and writing, and takes it back.</summary>
    /// <returns>What the page said.</returns>
    public static int MapError(this Run run, ushort domid, ulong gfn, int prot = LibC.PROT_READ | LibC.PROT_WRITE)
    {
        int[] errors = new int[1];
        run.Privcmd.MapForeign(domid, [gfn], prot, errors, TimeSpan.Zero).Dispose();
        return errors[0];
    }

    /// <summary>Maps one frame until the end of the script.</summary>
    /// <exception cref="XenException">It does not map.</exception>
    public static XenMapping Map(this Run run, ushort domid, ulong gfn, int prot = LibC.PROT_READ | LibC.PROT_WRITE)
    {
        int[] errors = new int[1];
        XenMapping mapping = run.Own(run.Privcmd.MapForeign(domid, [gfn], prot, errors, TimeSpan.Zero));
        XenException.Check(errors[0], $"mapping frame 0x{gfn:x}", domid);
        return mapping;
    }

    private static Outcome Errors(Run x, ushort domid, IEnumerable<int> gfns)
    {
        ulong[] frames = [.. gfns.Select(gfn => (ulong)gfn)];
        int[] errors = new int[frames.Length];
        x.Privcmd.MapForeign(domid, frames, LibC.PROT_READ, errors, TimeSpan.Zero).Dispose();
        return string.Join(' ', errors.Select(error => ((Outcome)error).Text));
    }
}
