using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Memory;
using XenMemoryProvider.Tests.Fakes;
using Xunit;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Tests.Memory;

public sealed unsafe class ForeignMemoryTests : IDisposable
{
    private const ushort Guest = 7;

    private readonly FakeXen _xen = new(frames: 64);
    private readonly FileDescriptor _nothing = FileDescriptor.Open("/dev/null", O_RDWR);

    public void Dispose()
    {
        _nothing.Dispose();
        _xen.Dispose();
    }

    [Fact]
    public void Map_Foreign_IsTheGuestsMemoryAndCannotBePinned()
    {
        _xen.Page(3)[5] = 0x5a;
        using RegionMapping mapping = Map(Provider(), Region(0x2000, 0x4000));

        Assert.Equal(0x5a, mapping.Pointer[0x1005]);
        mapping.Pointer[0] = 7;
        Assert.Equal((7, false, false), (_xen.Page(2)[0], mapping.CanPin, mapping.HasHoles));
        Assert.Null(mapping.OnDemand);
    }

    [Fact]
    public void Map_UnalignedRegion_PointsIntoItsPage()
    {
        _xen.Page(1)[0xff0] = 1;
        _xen.Page(2)[0] = 2;
        _xen.Missing[3] = -EINVAL;
        using RegionMapping mapping = Map(Provider(), Region(0x1ff0, 0x1020));

        Assert.Equal((1, 2), (mapping.Pointer[0], mapping.Pointer[16]));
        Assert.True(mapping.IsAccessible(0, 0x1010));
        Assert.False(mapping.IsAccessible(0, 0x1011));
        Assert.False(mapping.IsAccessible(0x1010, 1));
    }

    [Fact]
    public void Map_Holes_AreLeftAndFailOnlyWhoTouchesThem()
    {
        _xen.Missing[5] = -ENOENT;
        XenGuestMemoryProvider provider = Provider();
        MemoryRegion region = Region(0, 64 << 12);
        using var guest = new GuestMemoryRegion(region, Map(provider, region));
        var map = new GuestMemoryMap([guest]);

        Assert.Equal(ResolveResult.Ok, Resolve(map, 0x4000, 0x1000));
        Assert.Equal(ResolveResult.Hole, Resolve(map, 0x4fff, 2));
        Assert.Equal(ResolveResult.Hole, Resolve(map, 0x5800, 4));
        Assert.Equal(ResolveResult.Ok, Resolve(map, 0x6000, 0x1000));
        Assert.Equal(ResolveResult.OutsideMemory, Resolve(map, 64 << 12, 1));
        Assert.False(map.TryRead(new GuestAddress(0x4ffc), new byte[8]));
        Assert.True(map.FindRing(new FrontendAddress(0x5ff0), 64, true, out _) == null);
        Assert.True(map.FindRing(new FrontendAddress(0x6000), 64, true, out _) == guest.Mapping.Pointer + 0x6000);
    }

    [Fact]
    public void Map_HolesAndPolicyFail_IsRefusedAndNothingStays()
    {
        _xen.Missing[5] = -EINVAL;
        XenGuestMemoryProvider provider = Provider(new XenMemoryOptions { Holes = HolePolicy.Fail });

        var e = Assert.Throws<GuestMemoryException>(() => Map(provider, Region(0, 64 << 12)));

        Assert.EndsWith("frame 0x5 of domain 7 cannot be mapped: EINVAL", e.Message);
        Assert.Equal((0, 0), (_xen.LiveMappings, _xen.OpenDevices));
    }

    [Fact]
    public void Map_NothingThere_IsRefusedWhateverThePolicy()
    {
        for (ulong gfn = 0; gfn < 64; gfn++) _xen.Missing[gfn] = -ESRCH;

        var e = Assert.Throws<GuestMemoryException>(() => Map(Provider(), Region(0, 64 << 12)));

        Assert.EndsWith("domain 7 has none of its 64 frames: ESRCH", e.Message);
        Assert.Equal((0, 0), (_xen.LiveMappings, _xen.OpenDevices));
    }

    [Fact]
    public void Map_XenRefuses_SaysWhatAndWhy()
    {
        _xen.MapForeignError = EPERM;

        var e = Assert.Throws<GuestMemoryException>(() => Map(Provider(), Region(0, 4096)));

        Assert.Contains("MMAPBATCH_V2 for domain 7: EPERM", e.Message);
        Assert.Equal(0, _xen.OpenDevices);
    }

    [Fact]
    public void Map_SeveralRegions_ShareOneRestrictedDeviceUntilTheLastIsGone()
    {
        XenGuestMemoryProvider provider = Provider();
        RegionMapping low = Map(provider, Region(0, 0x8000)), high = Map(provider, Region(0x10000, 0x8000));
        Assert.Equal(1, _xen.OpenDevices);
        Assert.Equal(1, _xen.Log.Count(line => line == "restrict 7"));

        low.Dispose();
        low.Dispose();
        Assert.Equal((1, 1), (_xen.OpenDevices, _xen.LiveMappings));
        high.Dispose();
        Assert.Equal((0, 0), (_xen.OpenDevices, _xen.LiveMappings));

        Map(provider, Region(0, 0x8000)).Dispose();
        Assert.Equal(2, _xen.Log.Count(line => line == "restrict 7"));
    }

    [Fact]
    public void Map_TwoDomains_HaveADeviceEach()
    {
        XenGuestMemoryProvider provider = Provider();
        using RegionMapping one = Map(provider, Region(0, 4096)), other = Map(provider, Region(0, 4096) with { XenDomain = 8 });

        Assert.Equal(2, _xen.OpenDevices);
        Assert.Superset(new HashSet<string> { "restrict 7", "restrict 8", "foreign 7 1", "foreign 8 1" }, _xen.Log.ToHashSet());
    }

    [Fact]
    public void Map_KernelCannotRestrict_GoesOn()
    {
        _xen.RestrictError = ENOTTY;

        Map(Provider(), Region(0, 4096)).Dispose();

        Assert.Equal(0, _xen.OpenDevices);
    }

    [Fact]
    public void Map_DeviceMissing_IsRefused()
    {
        _xen.AbsentDevice = "privcmd";

        Assert.Contains("open /dev/xen/privcmd", Assert.Throws<GuestMemoryException>(() => Map(Provider(), Region(0, 4096))).Message);
    }

    [Fact]
    public void Map_OtherDomainThanServed_IsRefused()
    {
        XenGuestMemoryProvider provider = Provider(new XenMemoryOptions { OnlyDomain = Guest });

        Map(provider, Region(0, 4096)).Dispose();
        Assert.Contains("only domain 7", Assert.Throws<GuestMemoryException>(() => Map(provider, Region(0, 4096) with { XenDomain = 8 })).Message);
    }

    [Fact]
    public void Map_SameRegionAgain_IsANewMappingOfWhatIsThereNow()
    {
        XenGuestMemoryProvider provider = Provider();
        using RegionMapping before = Map(provider, Region(0, 0x8000));
        _xen.Missing[2] = -EINVAL; // The guest gave it up.
        using RegionMapping after = Map(provider, Region(0, 0x8000));

        Assert.True(before.IsAccessible(0x2000, 4096));
        Assert.False(after.IsAccessible(0x2000, 4096));
        Assert.True(before.Pointer != after.Pointer);
    }

    [Fact]
    public void Map_NoXenFlags_IsAFile()
    {
        using FileDescriptor file = MemFd.Create("kvm", 8192);
        using RegionMapping mapping = Provider().Map(new MemoryRegion(new GuestAddress(0), 4096, default, 4096), file);

        Assert.True(mapping is { CanPin: true });
        Assert.Equal(0, _xen.OpenDevices);
    }

    [Fact]
    public void Choose_NoXenHere_ServesFilesOnly()
    {
        Assert.SkipWhen(File.Exists("/dev/xen/privcmd"), "this is a Xen domain");

        Assert.False(XenGuestMemoryProvider.Choose().SupportsXenMmap);
        Assert.False(XenGuestMemoryProvider.Choose(XenKernels.Off).SupportsXenMmap);
        Assert.Throws<XenException>(() => XenGuestMemoryProvider.Choose(XenKernels.Devices));
        Assert.Throws<ArgumentException>(() => XenGuestMemoryProvider.Choose("sometimes"));
        Assert.True(Provider().SupportsXenMmap);
    }

    private static MemoryRegion Region(ulong address, ulong size) =>
        new(new GuestAddress(address), size, new FrontendAddress(address), 0, XenMmapFlags.Foreign, Guest);

    private static ResolveResult Resolve(GuestMemoryMap map, ulong address, uint length) =>
        map.Resolve([new GuestRange(new GuestAddress(address), length, true)], new IovecList(), new IovecList(), out _, out _);

    private XenGuestMemoryProvider Provider(XenMemoryOptions? options = null) => new(_xen, options);

    private RegionMapping Map(XenGuestMemoryProvider provider, in MemoryRegion region) => provider.Map(region, _nothing);
}
