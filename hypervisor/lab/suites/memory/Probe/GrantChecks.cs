using System.Diagnostics;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Memory;
using static VhostXen.Linux.LibC;

/// <summary>Grants of this domain to itself through the provider, and where copying is cheaper than mapping.</summary>
internal static unsafe class GrantChecks
{
    private const ulong GrantBit = 1UL << 63;
    private const int Pages = 128;

    public static void Run(Report report, LinuxXenKernel kernel)
    {
        using FileDescriptor nothing = FileDescriptor.Open("/dev/null", O_RDWR);
        using IGntalloc gntalloc = kernel.OpenGntalloc();
        var references = new uint[Pages];
        using XenMapping pages = gntalloc.Allocate(0, writable: true, references);
        bool consecutive = references.Zip(references.Skip(1)).All(static pair => pair.Second == pair.First + 1);

        report.Check("grant-region", () =>
        {
            uint first = references[0];
            using RegionMapping ring = new XenGuestMemoryProvider(kernel).Map(Region(first, 1, XenMmapFlags.Grant), nothing);
            ring.Pointer[100] = 0x5a;
            return (pages.Pointer[100] == 0x5a, $"reference {first}");
        });
        report.Check("grant-region-not-granted", () =>
        {
            try
            {
                new XenGuestMemoryProvider(kernel).Map(Region(400_000, 1, XenMmapFlags.Grant), nothing).Dispose();
                return (false, "mapped");
            }
            catch (GuestMemoryException e)
            {
                return (true, e.Message);
            }
        });
        foreach (int limit in new[] { 0, 16384 })
        {
            report.Check($"grant-chain-{(limit == 0 ? "mapped" : "copied")}", () =>
            {
                using RegionMapping all = OnDemand(kernel, nothing, limit);
                return Chain(all.OnDemand!, references, pages);
            });
        }
        report.Check("grant-no-allocation", () =>
        {
            using RegionMapping all = OnDemand(kernel, nothing, 64);
            GuestRange[] chain = [At(references[0], 0, 16, false), At(references[1], 0, 4096, true), At(references[2], 0, 1, true)];
            var iovecs = new iovec[3];
            long before = 0;
            for (int i = 0; i < 300; i++)
            {
                if (i == 100) before = GC.GetAllocatedBytesForCurrentThread();
                if (!all.OnDemand!.TryMap(chain, iovecs, out ulong token)) return (false, $"round {i}");
                all.OnDemand.Release(token);
            }
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            return (allocated == 0, $"{allocated} bytes in 200 chains");
        });

        if (!consecutive) return;
        foreach (bool writable in new[] { false, true })
        {
            foreach (int count in new[] { 1, 2, 4, 8, 16, 32, 64, 128 })
                report.Check($"grant-cost-{(writable ? "write" : "read")}", () => Cost(kernel, nothing, references[0], count, writable));
        }
    }

    private static (bool, string) Chain(IOnDemandMapper mapper, uint[] references, XenMapping pages)
    {
        for (int i = 0; i < 8192; i++) pages.Pointer[i] = (byte)(i * 7);
        GuestRange[] chain = [At(references[0], 4000, 96, false), At(references[1], 0, 100, false), At(references[2], 5, 50, true), At(references[3], 0, 1, true)];
        var iovecs = new iovec[4];
        if (!mapper.TryMap(chain, iovecs, out ulong token)) return (false, "not mapped");
        var read = new ReadOnlySpan<byte>(iovecs[0].iov_base, 96);
        bool same = read.SequenceEqual(new ReadOnlySpan<byte>(pages.Pointer + 4000, 96)) && ((byte*)iovecs[1].iov_base)[99] == unchecked((byte)(4195 * 7));
        new Span<byte>(iovecs[2].iov_base, 50).Fill(0xaa);
        *(byte*)iovecs[3].iov_base = 3;
        mapper.Release(token);
        bool written = pages.Pointer[8192 + 5] == 0xaa && pages.Pointer[8192 + 54] == 0xaa && pages.Pointer[(3 * 4096) + 0] == 3;
        var table = new byte[64];
        bool copied = mapper.TryRead(GrantBit | (ulong)references[0] << 12 | 10, table) && table[63] == unchecked((byte)(73 * 7));
        bool refused = !mapper.TryMap([At(400_000, 0, 16, true), At(400_000, 0, 30_000, false)], iovecs, out _);
        return (same && written && copied && refused, $"read {same}, written {written}, TryRead {copied}, bad reference refused {refused}");
    }

    // One chain of one buffer, touched once from end to end either way, as a store does. The two take turns, and the best
    // round of each counts: the machine has other things to do.
    private static (bool, string) Cost(LinuxXenKernel kernel, FileDescriptor nothing, uint first, int count, bool writable)
    {
        using RegionMapping mapping = OnDemand(kernel, nothing, 0), copying = OnDemand(kernel, nothing, count * 4096);
        GuestRange[] chain = [At(first, 0, (uint)count * 4096, writable)];
        double map = double.MaxValue, copy = double.MaxValue;
        for (int round = 0; round < 12; round++)
        {
            map = Math.Min(map, Microseconds(mapping.OnDemand!, chain));
            copy = Math.Min(copy, Microseconds(copying.OnDemand!, chain));
        }
        return (true, $"{count} pages: {map:F1} us mapped, {copy:F1} us copied");
    }

    private static double Microseconds(IOnDemandMapper mapper, GuestRange[] chain)
    {
        const int Times = 20;
        var iovecs = new iovec[1];
        var local = new byte[chain[0].Length];
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < Times; i++)
        {
            if (!mapper.TryMap(chain, iovecs, out ulong token)) throw new InvalidOperationException("not mapped");
            var buffer = new Span<byte>(iovecs[0].iov_base, local.Length);
            if (chain[0].Writable) local.CopyTo(buffer);
            else buffer.CopyTo(local);
            mapper.Release(token);
        }
        return Stopwatch.GetElapsedTime(start).TotalMicroseconds / Times;
    }

    private static RegionMapping OnDemand(LinuxXenKernel kernel, FileDescriptor nothing, int limit) =>
        new XenGuestMemoryProvider(kernel, new XenMemoryOptions { CopyLimit = limit })
            .Map(new MemoryRegion(new GuestAddress(GrantBit), 1UL << 60, default, 0, XenMmapFlags.Grant | XenMmapFlags.NoAdvanceMap, 0), nothing);

    private static GuestRange At(uint reference, uint offset, uint length, bool writable) =>
        new(new GuestAddress(GrantBit | (ulong)reference << 12 | offset), length, writable);

    private static MemoryRegion Region(uint first, int count, XenMmapFlags flags) =>
        new(new GuestAddress(GrantBit | (ulong)first << 12), (ulong)count << 12, default, 0, flags, 0);
}
