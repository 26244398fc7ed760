using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;
using XenMemoryProvider.Memory;
using Xunit;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Tests.OnModel;

/// <summary>Foreign regions of a guest that lives: balloons, pages out, dies.</summary>
public sealed unsafe class ForeignOnModelTests : IDisposable
{
    private readonly ModelGuest _guest = new();
    private readonly FileDescriptor _nothing = FileDescriptor.Open("/dev/null", O_RDWR);
    private readonly XenGuestMemoryProvider _provider;

    public ForeignOnModelTests() => _provider = new XenGuestMemoryProvider(_guest.Kernel, new XenMemoryOptions { PagingTimeout = TimeSpan.FromSeconds(20) });

    public void Dispose()
    {
        _nothing.Dispose();
        _guest.Dispose();
    }

    [Fact]
    public void Map_WholeGuest_IsItsMemoryBothWays()
    {
        _guest.Domain.Memory.Write(0x3008, 0x1122334455667788UL);
        using RegionMapping mapping = Map(0, 4 << 20);

        Assert.Equal(0x1122334455667788UL, *(ulong*)(mapping.Pointer + 0x3008));
        *(ulong*)(mapping.Pointer + 0x5000) = 99;
        Assert.Equal(99UL, _guest.Domain.Memory.Read<ulong>(0x5000));
    }

    [Fact]
    public void Map_BalloonedOutFrames_AreHoles()
    {
        Assert.Equal(2, _guest.Balloon(0x40, 0x41));
        using RegionMapping mapping = Map(0, 4 << 20);

        Assert.True(mapping.HasHoles);
        Assert.True(mapping.IsAccessible(0x3f000, 4096));
        Assert.False(mapping.IsAccessible(0x3ffff, 2));
        Assert.False(mapping.IsAccessible(0x41fff, 1));
        Assert.True(mapping.IsAccessible(0x42000, 4096));
    }

    [Fact]
    public void Map_PagedOutFrames_AreWaitedFor()
    {
        _guest.Domain.Memory.Write(0x20000, 7UL);
        Assert.Equal(16, _guest.Xen.Faults.PageOut(_guest.Id, 0x20, 16));

        using RegionMapping mapping = Map(0, 4 << 20);

        Assert.False(mapping is { HasHoles: true } && !mapping.IsAccessible(0x20000, 0x10000));
        Assert.Equal(7UL, *(ulong*)(mapping.Pointer + 0x20000));
    }

    [Fact]
    public void Map_NthPageFails_IsAHoleOrARefusal()
    {
        _guest.Xen.Faults.FailPage(_guest.Id, 10, ENOMEM);
        using (RegionMapping mapping = Map(0x10000, 0x10000))
        {
            int holes = 0;
            for (ulong page = 0; page < 16; page++) holes += mapping.IsAccessible(page << 12, 4096) ? 0 : 1;
            Assert.Equal(1, holes);
        }

        _guest.Xen.Faults.FailPage(_guest.Id, 10, ENOMEM);
        var strict = new XenGuestMemoryProvider(_guest.Kernel, new XenMemoryOptions { Holes = HolePolicy.Fail });
        Assert.Contains("ENOMEM", Assert.Throws<GuestMemoryException>(() => strict.Map(Region(0x10000, 0x10000), _nothing)).Message);
        Assert.False(Map(0x10000, 0x10000).HasHoles);
    }

    [Fact]
    public void Invalidate_GuestGetsANewPage_OnlyTheNewMappingSeesIt()
    {
        _guest.Domain.Memory.Write(0x40000, 1UL);
        RegionMapping before = Map(0, 4 << 20);
        Assert.Equal(1, _guest.Balloon(0x40));
        *(ulong*)(before.Pointer + 0x40000) = 2; // Of nobody now, and no fault.
        Assert.Equal(1, _guest.Populate(0x40));
        _guest.Domain.Memory.Write(0x40000, 3UL);

        using RegionMapping after = Map(0, 4 << 20);

        Assert.Equal(2UL, *(ulong*)(before.Pointer + 0x40000));
        Assert.Equal(3UL, *(ulong*)(after.Pointer + 0x40000));
        before.Dispose();
        *(ulong*)(after.Pointer + 0x40000) = 4;
        Assert.Equal(4UL, _guest.Domain.Memory.Read<ulong>(0x40000));
    }

    [Fact]
    public void Domain_DiesWhileMapped_PagesStayUntilUnmapped()
    {
        RegionMapping mapping = Map(0, 4 << 20);
        *(ulong*)(mapping.Pointer + 0x1000) = 5;

        Assert.True(_guest.Xen.DestroyDomain(_guest.Id));

        for (int page = 0; page < 1024; page++) mapping.Pointer[page << 12] ^= 1;
        Assert.Equal(4UL, *(ulong*)(mapping.Pointer + 0x1000));
        Assert.Contains(_guest.Xen.Domains, domain => domain.Id == _guest.Id);
        Assert.Throws<GuestMemoryException>(() => Map(0, 4 << 20));

        mapping.Dispose();
        Assert.DoesNotContain(_guest.Xen.Domains, domain => domain.Id == _guest.Id);
    }

    [Fact]
    public void Map_NoSuchDomain_IsRefused()
    {
        var e = Assert.Throws<GuestMemoryException>(() => _provider.Map(Region(0, 4096) with { XenDomain = 999 }, _nothing));

        Assert.Contains("ESRCH", e.Message);
    }

    private MemoryRegion Region(ulong address, ulong size) =>
        new(new GuestAddress(address), size, new FrontendAddress(address), 0, XenMmapFlags.Foreign, _guest.Id);

    private RegionMapping Map(ulong address, ulong size) => _provider.Map(Region(address, size), _nothing);
}
