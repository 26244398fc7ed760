using System.Diagnostics;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

/// <summary>Foreign mappings.</summary>
internal static unsafe class ForeignChecks
{
    private const int Kernel = 0x1000; // The guest's kernel is loaded at 16 MiB.
    private const ulong Hole = 0xf0000;
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    public static void Run(Report report, IPrivcmd privcmd, ushort guest)
    {
        report.Check("foreign-write-seen-by-other-mapping", () =>
        {
            ulong[] gfns = [Kernel + 2000, Kernel + 2001];
            var errors = new int[2];
            using XenMapping writable = privcmd.MapForeign(guest, gfns, PROT_READ | PROT_WRITE, errors, Second);
            using XenMapping readable = privcmd.MapForeign(guest, gfns, PROT_READ, errors, Second);
            ulong old = *(ulong*)(writable.Pointer + 4096);
            *(ulong*)(writable.Pointer + 4096) = 0x1122334455667788;
            ulong seen = *(ulong*)(readable.Pointer + 4096);
            *(ulong*)(writable.Pointer + 4096) = old;
            return (errors.All(e => e == 0) && seen == 0x1122334455667788, $"0x{seen:x}");
        });
        report.Check("foreign-hole-is-one-page-error", () =>
        {
            ulong[] gfns = [Kernel, Hole, Kernel + 1];
            var errors = new int[3];
            using XenMapping mapping = privcmd.MapForeign(guest, gfns, PROT_READ, errors, Second);
            bool elf = *(uint*)mapping.Pointer != 0 && mapping.Pages == 3;
            return (errors.SequenceEqual([0, -EINVAL, 0]) && elf, string.Join(' ', errors));
        });
        report.Check("foreign-no-domain", () =>
        {
            var errors = new int[1];
            try
            {
                using XenMapping mapping = privcmd.MapForeign(999, [0], PROT_READ, errors, Second);
                return (errors[0] == -ESRCH, $"page error {errors[0]}");
            }
            catch (XenException e)
            {
                return (e.Errno == ESRCH, e.Message);
            }
        });
        report.Check("foreign-all-memory", () =>
        {
            var gfns = new ulong[200 * 256];
            for (int i = 0; i < gfns.Length; i++) gfns[i] = (ulong)i + 256;
            var errors = new int[gfns.Length];
            long start = Stopwatch.GetTimestamp();
            using XenMapping mapping = privcmd.MapForeign(guest, gfns, PROT_READ, errors, Second);
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            ulong sum = 0;
            for (nuint at = 0; at < mapping.Length; at += 4096) sum += *(ulong*)(mapping.Pointer + at);
            return (errors.All(e => e == 0) && sum != 0, $"{gfns.Length} pages, {gfns.Length / seconds:F0} pages/s under TCG");
        });
        report.Check("foreign-map-unmap-100-times", () =>
        {
            var errors = new int[16];
            var gfns = new ulong[16];
            for (int i = 0; i < 16; i++) gfns[i] = Kernel + (ulong)i;
            for (int round = 0; round < 100; round++)
                privcmd.MapForeign(guest, gfns, PROT_READ | PROT_WRITE, errors, Second).Dispose();
            return (File.ReadLines("/proc/self/maps").All(line => !line.Contains("privcmd")), "nothing left in /proc/self/maps");
        });
    }
}
