using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Memory;

public sealed unsafe class GuestMemoryMapTests : IDisposable
{
    private const ulong Page = 4096;
    private readonly List<GuestMemoryRegion> _regions = [];

    public void Dispose()
    {
        foreach (GuestMemoryRegion region in _regions)
            region.Dispose();
    }

    [Fact]
    public void Resolve_RangeInsideOneRegion_IsPointerArithmetic()
    {
        GuestMemoryMap map = Map((0x10000, 4 * Page));
        (IovecList readable, IovecList writable) = Resolve(map, ResolveResult.Ok, Range(0x10010, 32, false), Range(0x11000, 64, true));

        Assert.Equal((nint)_regions[0].Mapping.Pointer + 0x10, (nint)readable[0].iov_base);
        Assert.Equal(32u, (uint)readable[0].iov_len);
        Assert.Equal((nint)_regions[0].Mapping.Pointer + 0x1000, (nint)writable[0].iov_base);
        Assert.Equal(64ul, writable.Length);
    }

    [Fact]
    public void Resolve_RangeAcrossAdjacentRegions_IsSplit()
    {
        GuestMemoryMap map = Map((0, Page), (Page, Page));
        (IovecList readable, _) = Resolve(map, ResolveResult.Ok, Range(Page - 16, 32, false));

        Assert.Equal(2, readable.Count);
        Assert.Equal(16u, (uint)readable[0].iov_len);
        Assert.Equal((nint)_regions[1].Mapping.Pointer, (nint)readable[1].iov_base);
    }

    // CVE-2018-1059: the length is translated with the address.
    [Theory]
    [InlineData(0x20000ul, 1u)]
    [InlineData(0x10ffful, 2u)]
    [InlineData(0x0fffful, 1u)]
    [InlineData(ulong.MaxValue, 1u)]
    [InlineData(ulong.MaxValue - 15, 32u)]
    public void Resolve_AnyByteOutsideEveryRegion_IsRefusedAndLeavesNothing(ulong address, uint length)
    {
        GuestMemoryMap map = Map((0x10000, Page));
        (IovecList readable, IovecList writable) = Resolve(map, ResolveResult.OutsideMemory, Range(0x10000, 16, true), Range(address, length, false));

        Assert.Equal(0, readable.Count + writable.Count);
    }

    // Many small regions make many pieces of every buffer, and each piece stays allocated.
    [Fact]
    public void Resolve_BuffersInThousandsOfPieces_AreRefusedAndLeaveNothing()
    {
        GuestMemoryMap map = Map([.. Enumerable.Range(0, 100).Select(static i => ((ulong)i * Page, Page))]);
        GuestRange whole = Range(0, (uint)(100 * Page), true);

        (_, IovecList writable) = Resolve(map, ResolveResult.Ok, [.. Enumerable.Repeat(whole, 10)]);
        Assert.Equal(1000, writable.Count);
        (IovecList readable, writable) = Resolve(map, ResolveResult.OutsideMemory, [.. Enumerable.Repeat(whole, 11)]);
        Assert.Equal(0, readable.Count + writable.Count);
    }

    // CVE-2020-10725: a length of zero does not excuse the address.
    [Fact]
    public void Resolve_ZeroLengthOutside_IsRefused()
        => Resolve(Map((0x10000, Page)), ResolveResult.OutsideMemory, Range(0x20000, 0, false));

    [Fact]
    public void Resolve_RegionAtTheTopOfTheAddressSpace_DoesNotWrap()
    {
        GuestMemoryMap map = Map((ulong.MaxValue - Page + 1, Page), (0, Page));
        Resolve(map, ResolveResult.Ok, Range(ulong.MaxValue - 15, 16, false));
    }

    [Fact]
    public void Map_OverlappingRegions_IsRefused()
        => Assert.Throws<GuestMemoryException>(() => Map((0, 2 * Page), (Page, Page)));

    [Fact]
    public void TryRead_AcrossRegions_CopiesInOrder()
    {
        GuestMemoryMap map = Map((0, Page), (Page, Page));
        _regions[0].Mapping.Pointer[Page - 1] = 7;
        _regions[1].Mapping.Pointer[0] = 9;
        Span<byte> bytes = stackalloc byte[2];

        Assert.True(map.TryRead(new GuestAddress(Page - 1), bytes));
        Assert.Equal([7, 9], bytes.ToArray());
        Assert.False(map.TryRead(new GuestAddress((2 * Page) - 1), bytes));
    }

    [Fact]
    public void FindRing_UserAddressFirstThenGuestAddress_FindsBoth()
    {
        GuestMemoryMap map = Map((0x10000, Page));
        ulong user = _regions[0].Description.UserAddress.Value;

        Assert.Equal((nint)_regions[0].Mapping.Pointer + 16, (nint)map.FindRing(new FrontendAddress(user + 16), 64, false, out GuestAddress guest));
        Assert.Equal(0x10010ul, guest.Value);
        Assert.Equal((nint)_regions[0].Mapping.Pointer + 16, (nint)map.FindRing(new FrontendAddress(0x10010), 64, false, out guest));
        Assert.Equal(0x10010ul, guest.Value);
        Assert.True(map.FindRing(new FrontendAddress(user + 16), 64, true, out _) == null);
        Assert.True(map.FindRing(new FrontendAddress(user + Page - 16), 17, false, out _) == null);
    }

    [Fact]
    public void Resolve_RepeatedUse_AllocatesNothing()
    {
        GuestMemoryMap map = Map((0, 64 * Page));
        IovecList readable = new();
        IovecList writable = new();
        GuestRange[] ranges = [Range(0, 16, false), .. Enumerable.Range(1, 20).Select(i => Range((ulong)i * Page, 4096, true))];
        Once();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
            Once();

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

        void Once()
        {
            readable.Clear();
            writable.Clear();
            map.Resolve(ranges, readable, writable, out _, out MemoryLease lease);
            lease.Release();
        }
    }

    [Fact]
    public void Provider_FileShorterThanItsRegion_IsRefused()
    {
        using FileDescriptor fd = MemFd.Create("short", Page);
        MemoryRegion region = new(new GuestAddress(0), 2 * Page, new FrontendAddress(0x7000_0000), 0);

        Assert.Throws<GuestMemoryException>(() => new SharedFileProvider().Map(region, fd));
        Assert.Throws<GuestMemoryException>(() => new SharedFileProvider().Map(region with { Size = Page, MmapOffset = ulong.MaxValue - 10 }, fd));
        Assert.Throws<GuestMemoryException>(() => new SharedFileProvider().Map(region with { Size = ulong.MaxValue }, fd));
    }

    [Fact]
    public void Provider_AfterMapping_TheFrontEndCannotShrinkTheFile()
    {
        using FileDescriptor fd = MemFd.Create("sealable", 2 * Page);
        using RegionMapping mapping = new SharedFileProvider().Map(new MemoryRegion(new GuestAddress(0), 2 * Page, new FrontendAddress(0), 0), fd);

        Assert.Equal(-1, LibC.ftruncate(fd.Value, 0));
        mapping.Pointer[(2 * Page) - 1] = 1;
    }

    [Fact]
    public void Provider_XenRegion_IsRefusedByTheSharedFileProvider()
    {
        using FileDescriptor fd = MemFd.Create("xen", Page);
        MemoryRegion region = new(new GuestAddress(0), Page, new FrontendAddress(0), 0, XenMmapFlags.Foreign, 1);

        Assert.Throws<GuestMemoryException>(() => new SharedFileProvider().Map(region, fd));
    }

    private static GuestRange Range(ulong address, uint length, bool writable) => new(new GuestAddress(address), length, writable);

    private static (IovecList Readable, IovecList Writable) Resolve(GuestMemoryMap map, ResolveResult expected, params GuestRange[] ranges)
    {
        IovecList readable = new();
        IovecList writable = new();
        Assert.Equal(expected, map.Resolve(ranges, readable, writable, out _, out MemoryLease lease));
        lease.Release();
        return (readable, writable);
    }

    private GuestMemoryMap Map(params (ulong Start, ulong Size)[] layout)
    {
        foreach ((ulong start, ulong size) in layout)
        {
            using FileDescriptor fd = MemFd.Create("region", size);
            MemoryRegion description = new(new GuestAddress(start), size, new FrontendAddress(0x7f00_0000_0000 + start), 0);
            _regions.Add(new GuestMemoryRegion(description, new SharedFileProvider().Map(description, fd)));
        }

        return new GuestMemoryMap(_regions);
    }
}
