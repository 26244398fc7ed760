using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;
using XenMemoryProvider.Memory;
using XenModel;
using Xunit;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Tests.OnModel;

/// <summary>Counts what the whole process holds, so nothing may run beside it.</summary>
[CollectionDefinition(nameof(LeakTests), DisableParallelization = true)]
[Collection(nameof(LeakTests))]
public sealed unsafe class LeakTests
{
    [Fact]
    public void Domain_ThousandLives_LeaveNothing()
    {
        using var xen = new Hypervisor();
        using FileDescriptor nothing = FileDescriptor.Open("/dev/null", O_RDWR);
        (int Mappings, int Files) before = default;
        XenGuestMemoryProvider? provider = null;
        for (int life = 0; life < 1000; life++)
        {
            if (life == 10) before = Held();
            using var guest = new ModelGuest(memoryMiB: 1, xen: xen, name: $"life{life}");
            provider ??= new XenGuestMemoryProvider(guest.Kernel, new XenMemoryOptions { CopyLimit = 64 });
            uint reference = guest.Grant(5);
            RegionMapping foreign = Map(0, 1 << 20, XenMmapFlags.Foreign);
            RegionMapping ring = Map(ModelGuest.Address(reference).Value, 4096, XenMmapFlags.Grant);
            RegionMapping all = Map(ModelGuest.GrantBit, 1UL << 60, XenMmapFlags.Grant | XenMmapFlags.NoAdvanceMap);
            foreign.Pointer[0x5000] = 0x5a;
            Assert.Equal(0x5a, ring.Pointer[0]);
            Assert.True(all.OnDemand!.TryMap([new(ModelGuest.Address(reference), 4096, true)], new iovec[1], out ulong token));
            if (life % 2 == 0) Assert.True(xen.DestroyDomain(guest.Id));
            all.OnDemand.Release(token);
            all.Dispose();
            foreign.Dispose();
            ring.Dispose();

            RegionMapping Map(ulong address, ulong size, XenMmapFlags flags) =>
                provider.Map(new MemoryRegion(new GuestAddress(address), size, default, 0, flags, guest.Id), nothing);
        }

        (int mappings, int files) = Held();
        Assert.Single(xen.Domains);
        Assert.InRange(mappings, 0, before.Mappings);
        Assert.InRange(files, 0, before.Files + 2);
    }

    // Pages of guests are in memfds; so is what the runtime compiles.
    private static (int Mappings, int Files) Held() =>
        (File.ReadLines("/proc/self/maps").Count(static line => line.Contains("/memfd:", StringComparison.Ordinal) && !line.Contains("doublemapper", StringComparison.Ordinal)),
            Directory.EnumerateFileSystemEntries("/proc/self/fd").Count());
}
