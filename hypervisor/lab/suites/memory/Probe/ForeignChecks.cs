using System.Diagnostics;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Memory;
using static VhostXen.Linux.LibC;

/// <summary>All of the guest's memory through the provider: found, verified, answered; and how fast it is mapped.</summary>
internal static unsafe class ForeignChecks
{
    private const int Words = 512;
    private const ulong Magic = 0x56584547554553;

    private enum Head
    {
        Magic,
        Seed,
        Index,
        Total,
        Answer,
        Count,
    }

    public static void Run(Report report, LinuxXenKernel kernel, ushort guest, int pages, string console)
    {
        using FileDescriptor nothing = FileDescriptor.Open("/dev/null", O_RDWR);
        var provider = new XenGuestMemoryProvider(kernel);
        int mappings = Mappings();
        var description = new MemoryRegion(new GuestAddress(0), (ulong)pages << 12, default, 0, XenMmapFlags.Foreign, guest);
        report.Check("foreign-whole-guest", () =>
        {
            using var region = new GuestMemoryRegion(description, provider.Map(description, nothing));
            return Verify(region, pages);
        });
        report.Check("foreign-answers-seen-by-guest", () =>
        {
            string? answered = Lab.WaitForLine(console, "GUEST answered", TimeSpan.FromSeconds(60));
            return (answered == "GUEST answered 0 wrong", answered ?? "no answer");
        });
        report.Check("foreign-holes", () =>
        {
            // The region goes past the end of the guest's RAM.
            MemoryRegion larger = description with { Size = description.Size + (64 << 20) };
            using RegionMapping mapping = provider.Map(larger, nothing);
            bool low = mapping.IsAccessible(0, 0xa0000), last = mapping.IsAccessible(description.Size - 4096, 4096), past = mapping.IsAccessible(description.Size, 1);
            return (mapping.HasHoles && low && last && !past, $"below 640K {low}, the last page {last}, past the end {past}");
        });
        report.Check("foreign-policy-fail", () =>
        {
            MemoryRegion larger = description with { Size = description.Size + (64 << 20) };
            return Refused(() => new XenGuestMemoryProvider(kernel, new XenMemoryOptions { Holes = HolePolicy.Fail }).Map(larger, nothing));
        });
        report.Check("foreign-no-domain", () => Refused(() => provider.Map(description with { XenDomain = 999 }, nothing)));
        report.Check("foreign-nothing-there", () =>
            Refused(() => provider.Map(description with { GuestAddress = new GuestAddress(1UL << 40) }, nothing)));
        report.Check("foreign-pinning-is-refused", () => Pinning(provider, description, nothing));
        Rates(report, kernel, guest, pages, () => provider.Map(description, nothing));
        report.Equal("foreign-nothing-left", mappings, Mappings);
    }

    private static int Mappings() => File.ReadLines("/proc/self/maps").Count(static line => line.Contains("/dev/xen/privcmd", StringComparison.Ordinal));

    private static (bool, string) Verify(GuestMemoryRegion region, int pages)
    {
        var found = new Dictionary<ulong, int>();
        ulong seed = 0, total = 0;
        int wrong = 0, holes = 0;
        long start = Stopwatch.GetTimestamp();
        for (int page = 0; page < pages; page++)
        {
            if (!region.Mapping.IsAccessible((ulong)page << 12, 4096))
            {
                holes++;
                continue;
            }
            var words = new ReadOnlySpan<ulong>(region.Mapping.Pointer + ((nuint)page << 12), Words);
            if (words[(int)Head.Magic] != Magic || words[(int)Head.Index] >= words[(int)Head.Total]) continue;
            if (found.Count == 0) (seed, total) = (words[(int)Head.Seed], words[(int)Head.Total]);
            if (words[(int)Head.Seed] != seed || !IsIntact(words) || !found.TryAdd(words[(int)Head.Index], page)) wrong++;
        }
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        if (wrong != 0 || total == 0 || (ulong)found.Count != total) return (false, $"{found.Count} of {total} pages found, {wrong} wrong");

        for (ulong index = 0; index < total; index++)
            Volatile.Write(ref ((ulong*)(region.Mapping.Pointer + ((nuint)found[index] << 12)))[(int)Head.Answer], index + 1);
        return (true, $"{total} of {total} pages found and verified in {seconds:F1} s; {pages - holes} mapped, {holes} holes");
    }

    private static bool IsIntact(ReadOnlySpan<ulong> words)
    {
        ulong x = (words[(int)Head.Seed] ^ ((words[(int)Head.Index] + 1) * 0x9e3779b97f4a7c15)) | 1;
        for (int i = (int)Head.Count; i < Words; i++)
        {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            if (words[i] != x) return false;
        }
        return true;
    }

    private static (bool, string) Refused(Action action)
    {
        try
        {
            action();
            return (false, "mapped");
        }
        catch (GuestMemoryException e)
        {
            return (true, e.Message);
        }
    }

    // What CanPin promises: reading a file into such memory works, reading it past the page cache does not.
    private static (bool, string) Pinning(XenGuestMemoryProvider provider, in MemoryRegion description, FileDescriptor nothing)
    {
        using RegionMapping mapping = provider.Map(description, nothing);
        const string path = "/payload/direct";
        File.WriteAllBytes(path, new byte[8192]);
        using FileDescriptor cached = FileDescriptor.Open(path, O_RDONLY);
        using FileDescriptor direct = FileDescriptor.Open(path, O_RDONLY | O_DIRECT);
        byte* at = mapping.Pointer + 0x1000;
        var saved = new Span<byte>(at, 4096).ToArray();
        var vector = new iovec { iov_base = at, iov_len = 4096 };
        nint ordinary = FileIO.ReadV(cached.Value, &vector, 1, 0), pinned = FileIO.ReadV(direct.Value, &vector, 1, 0);
        saved.CopyTo(new Span<byte>(at, 4096));
        return (!mapping.CanPin && ordinary == 4096 && pinned == -EFAULT, $"pread {ordinary}, with O_DIRECT {pinned}");
    }

    // The three take turns, and the best round of each counts: the machine has other things to do.
    private static void Rates(Report report, LinuxXenKernel kernel, ushort guest, int pages, Func<IDisposable> provider)
    {
        using IPrivcmd privcmd = kernel.OpenPrivcmd();
        var gfns = new ulong[pages];
        var errors = new int[pages];
        for (int i = 0; i < pages; i++) gfns[i] = (ulong)i;
        (double Map, double Unmap) pieces = default, batch = default, library = default;
        for (int round = 0; round < 8; round++)
        {
            pieces = Best(pieces, Rate(provider, pages));
            batch = Best(batch, Rate(() => privcmd.MapForeign(guest, gfns, PROT_READ | PROT_WRITE, errors, TimeSpan.FromSeconds(1)), pages));
            double[] rates = [.. Lab.Output("/payload/foreign", $"{guest}", $"{pages}").Split(' ').Select(double.Parse)];
            library = Best(library, (rates[0], rates[1]));
        }

        foreach ((string name, (double map, double unmap)) in new[] { ("provider", pieces), ("one-batch", batch), ("libxenforeignmemory", library) })
            report.Check($"foreign-rate-{name}", () => (map > 0, $"{map:F0} pages/s mapping, {unmap:F0} unmapping, best of 8"));
    }

    private static (double Map, double Unmap) Best((double Map, double Unmap) one, (double Map, double Unmap) other) =>
        (Math.Max(one.Map, other.Map), Math.Max(one.Unmap, other.Unmap));

    private static (double Map, double Unmap) Rate(Func<IDisposable> map, int pages)
    {
        long start = Stopwatch.GetTimestamp();
        IDisposable mapping = map();
        long middle = Stopwatch.GetTimestamp();
        mapping.Dispose();
        return (pages / Stopwatch.GetElapsedTime(start, middle).TotalSeconds, pages / Stopwatch.GetElapsedTime(middle).TotalSeconds);
    }
}
