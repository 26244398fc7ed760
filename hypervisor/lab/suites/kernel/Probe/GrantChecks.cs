using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

/// <summary>gntalloc and gntdev, from this domain to itself.</summary>
internal static unsafe class GrantChecks
{
    public static void Run(Report report, LinuxXenKernel kernel)
    {
        using IGntdev gntdev = kernel.OpenGntdev();
        using IGntalloc gntalloc = kernel.OpenGntalloc();

        report.Check("grant-map-shares-memory", () =>
        {
            var references = new uint[4];
            using XenMapping pages = gntalloc.Allocate(0, writable: true, references);
            int map = gntdev.Map(Of(references), writable: true, out GrantMapping mapping);
            if (map != 0) return (false, $"map {map}");
            ((byte*)mapping.Address)[3 * 4096] = 0x5a;
            byte seen = pages.Pointer[3 * 4096];
            int unmap = gntdev.Unmap(mapping);
            return (seen == 0x5a && unmap == 0 && mapping.Pages == 4, $"0x{seen:x}, unmap {unmap}");
        });
        report.Check("grant-read-only", () =>
        {
            var references = new uint[1];
            using XenMapping pages = gntalloc.Allocate(0, writable: false, references);
            pages.Pointer[0] = 7;
            int write = gntdev.Map(Of(references), writable: true, out _);
            int read = gntdev.Map(Of(references), writable: false, out GrantMapping mapping);
            if (read != 0) return (false, $"read {read}");
            byte seen = *(byte*)mapping.Address;
            int unmap = gntdev.Unmap(mapping);
            return (write == -EINVAL && seen == 7 && unmap == 0, $"for writing {write}, for reading {read}");
        });
        report.Equal("grant-bad-reference", -EINVAL, () => gntdev.Map([new(0, 400_000)], writable: false, out _));
        report.Equal("grant-none", -EINVAL, () => gntdev.Map([], writable: false, out _));
        report.Check("grant-many", () =>
        {
            var references = new uint[600];
            using XenMapping pages = gntalloc.Allocate(0, writable: true, references);
            int map = gntdev.Map(Of(references), writable: true, out GrantMapping mapping);
            if (map != 0) return (false, $"map {map}");
            pages.Pointer[599 * 4096] = 9;
            byte seen = ((byte*)mapping.Address)[599 * 4096];
            return (gntdev.Unmap(mapping) == 0 && seen == 9, $"600 pages, {seen}");
        });
        report.Check("grant-copy", () =>
        {
            var references = new uint[1];
            using XenMapping pages = gntalloc.Allocate(0, writable: true, references);
            byte* local = stackalloc byte[64];
            for (int i = 0; i < 64; i++) local[i] = (byte)i;
            Gntdev.GrantCopySegment[] segments =
            [
                new() { SourceVirt = (ulong)local, DestRef = references[0], DestOffset = 100, Len = 32, Flags = Gntdev.CopyDestGref },
                new() { SourceRef = references[0], SourceOffset = 100, DestVirt = (ulong)(local + 32), Len = 32, Flags = Gntdev.CopySourceGref },
                new() { SourceRef = 400_000, DestVirt = (ulong)local, Len = 1, Flags = Gntdev.CopySourceGref },
            ];
            int copy = gntdev.Copy(segments);
            bool same = new Span<byte>(local, 32).SequenceEqual(new Span<byte>(local + 32, 32)) && pages.Pointer[131] == 31;
            segments[0].DestOffset = 4090;
            int over = gntdev.Copy(segments.AsSpan(0, 1));
            return (copy == 0 && same && segments[0].Status == GrantStatus.Okay && segments[2].Status == GrantStatus.BadGntref && over == -EINVAL,
                $"{copy}, {segments[0].Status} {segments[1].Status} {segments[2].Status}, over the page {over}");
        });
        report.Check("grant-unmap-notify", () =>
        {
            var references = new uint[1];
            using XenMapping pages = gntalloc.Allocate(0, writable: true, references);
            using IEvtchn events = kernel.OpenEvtchn();
            uint remote = events.BindUnbound(0), local = events.BindInterdomain(0, remote);
            Span<uint> ports = stackalloc uint[4];
            events.Unmask(ports[..events.ReadPorts(ports)]);

            int map = gntdev.Map(Of(references), writable: true, out GrantMapping mapping);
            pages.Pointer[8] = 1;
            int set = gntdev.SetUnmapNotify(mapping, 8, local);
            int unmap = gntdev.Unmap(mapping);
            int count = events.ReadPorts(ports);
            return (map == 0 && set == 0 && unmap == 0 && pages.Pointer[8] == 0 && ports[..count].Contains(remote), $"map {map}, set {set}, byte {pages.Pointer[8]}, events {count}");
        });
        report.Check("grant-map-unmap-1000-times", () =>
        {
            var references = new uint[8];
            using XenMapping pages = gntalloc.Allocate(0, writable: true, references);
            GrantReference[] grants = Of(references);
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int round = 0; round < 1000; round++)
            {
                int result = gntdev.Map(grants, writable: true, out GrantMapping mapping);
                if (result != 0 || gntdev.Unmap(mapping) != 0) return (false, $"round {round}: {result}");
            }
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            return (allocated == 0, $"{allocated} bytes allocated");
        });
    }

    private static GrantReference[] Of(uint[] references) => Array.ConvertAll(references, r => new GrantReference(0, r));
}
