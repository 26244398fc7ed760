using System.Collections.Concurrent;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;
using XenMemoryProvider.Memory;
using XenMemoryProvider.Tests.Fakes;
using Xunit;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Tests.Memory;

public sealed unsafe class GrantMemoryTests : IDisposable
{
    private const ulong GrantBit = 1UL << 63;
    private const uint FirstReference = 8;

    private readonly FakeXen _xen = new(frames: 64);
    private readonly FileDescriptor _nothing = FileDescriptor.Open("/dev/null", O_RDWR);
    private readonly FakeGntdev _grants;

    public GrantMemoryTests()
    {
        // Reference 8 is frame 40, 9 is 39...: neighbours by reference are none by frame. Odd ones are read-only from 20 on.
        _grants = _xen.Grants;
        for (uint i = 0; i < 32; i++) _grants.Table.Add(FirstReference + i, new(40 - i, i >= 12 && i % 2 == 1));
    }

    public void Dispose()
    {
        Assert.Empty(_grants.Mapped);
        _nothing.Dispose();
        _xen.Dispose();
    }

    [Fact]
    public void Map_InAdvance_IsOneMappingOfAllPages()
    {
        using (RegionMapping ring = Map(GrantBit | (8UL << 12) + 0x800, 0x1000, XenMmapFlags.Grant))
        {
            ring.Pointer[0] = 1;
            ring.Pointer[0xfff] = 2;

            Assert.Equal((1, 2), (_xen.Page(40)[0x800], _xen.Page(39)[0x7ff]));
            Assert.Equal(["map 2 rw"], _grants.Log);
            Assert.False(ring.CanPin);
        }
        Assert.Equal((0, 0), (_grants.Mapped.Length, _xen.OpenDevices));
    }

    [Theory]
    [InlineData(1000, 1)] // Never granted.
    [InlineData(39, 2)] // The second is not.
    [InlineData(21, 1)] // Read-only, and rings are written.
    public void Map_InAdvanceNotGranted_IsRefused(uint reference, int pages)
    {
        var e = Assert.Throws<GuestMemoryException>(() => Map(GrantBit | (ulong)reference << 12, (ulong)pages << 12, XenMmapFlags.Grant));

        Assert.Contains($"GNTDEV_MAP_GRANT_REF {reference} and {pages - 1} more for domain 7: EINVAL", e.Message);
        Assert.Equal(0, _xen.OpenDevices);
    }

    [Fact]
    public void TryMap_Chain_IsOneMapPerDirectionAndReadOnlyWhereTheDeviceReads()
    {
        using Guest guest = Start(copyLimit: 0);
        _xen.Page(40)[16] = 7; // Reference 8.
        GuestRange[] chain = [At(8, 16, 16, false), At(21, 0, 6000, false), At(10, 4000, 200, true), At(12, 0, 1, true)];

        Assert.True(guest.TryMap(chain, out iovec[] iovecs, out ulong token));

        Assert.Equal(["map 3 ro", "map 3 rw"], _grants.Log);
        Assert.Equal([8u, 21, 22, 10, 11, 12], _grants.Mapped);
        Assert.Equal(7, *(byte*)iovecs[0].iov_base);
        Assert.Equal([16, 6000, 200, 1], iovecs.Select(iovec => (int)iovec.iov_len));
        ((byte*)iovecs[2].iov_base)[199] = 9;
        Assert.Equal(9, _xen.Page(40 - 3)[4000 + 199 - 4096]);

        guest.Mapper.Release(token);
        Assert.Equal(["map 3 ro", "map 3 rw", "unmap 3", "unmap 3"], _grants.Log);
        Assert.Empty(_grants.Mapped);
    }

    [Fact]
    public void TryMap_OneDirection_IsOneMap()
    {
        using Guest guest = Start(copyLimit: 0);

        Assert.True(guest.TryMap([At(8, 0, 4096, true)], out _, out ulong token));
        guest.Mapper.Release(token);

        Assert.Equal(["map 1 rw", "unmap 1"], _grants.Log);
    }

    [Theory]
    [InlineData(1000u, false)]
    [InlineData(21u, true)] // Granted for reading only.
    public void TryMap_NotGranted_FailsAndLeavesNothingMapped(uint reference, bool writable)
    {
        using Guest guest = Start(copyLimit: 0);

        Assert.False(guest.TryMap([At(8, 0, 64, false), At(reference, 0, 64, writable)], out _, out _));

        Assert.Empty(_grants.Mapped);
    }

    [Fact]
    public void TryMap_ReferenceOver32Bits_Fails()
    {
        using Guest guest = Start(copyLimit: 0);

        Assert.False(guest.TryMap([new GuestRange(new GuestAddress(GrantBit | 1UL << 44), 64, false)], out _, out _));
        Assert.False(guest.TryMap([At(uint.MaxValue, 0, 8192, false)], out _, out _));
        Assert.Empty(_grants.Log);
    }

    [Fact]
    public void TryMap_MorePagesThanAllowed_Fails()
    {
        using Guest guest = Start(copyLimit: 0, maxPages: 4);

        Assert.False(guest.TryMap([At(8, 0, 3 * 4096, false), At(12, 0, 2 * 4096, true)], out _, out _));
        Assert.False(guest.TryMap([At(8, 0, uint.MaxValue, false)], out _, out _));
        Assert.True(guest.TryMap([At(8, 0, 2 * 4096, false), At(12, 0, 2 * 4096, true)], out _, out ulong token));
        guest.Mapper.Release(token);
    }

    [Fact]
    public void TryMap_EmptyBuffers_AreNoHoles()
    {
        using Guest guest = Start(copyLimit: 0);

        Assert.True(guest.TryMap([At(8, 0, 0, false), At(8, 0, 0, true), At(9, 0, 16, true)], out iovec[] iovecs, out ulong token));

        Assert.All(iovecs, iovec => Assert.True(iovec.iov_base != null));
        guest.Mapper.Release(token);
    }

    [Fact]
    public void TryMap_Small_IsCopiedBothWays()
    {
        using Guest guest = Start(copyLimit: 8192);
        _xen.Page(40).Fill(0xee);
        _xen.Page(39)[..100].Fill(0x11);
        _xen.Page(38).Fill(0xff);
        GuestRange[] chain = [At(8, 4000, 196, false), At(10, 10, 4, true), At(21, 0, 1, false), At(10, 100, 50, true)];

        Assert.True(guest.TryMap(chain, out iovec[] iovecs, out ulong token));

        Assert.Equal(["copy 3"], _grants.Log);
        var read = new Span<byte>(iovecs[0].iov_base, 196);
        Assert.True(read[..96].IndexOfAnyExcept((byte)0xee) < 0 && read[96..].IndexOfAnyExcept((byte)0x11) < 0);
        new Span<byte>(iovecs[1].iov_base, 4).Fill(0xaa);
        new Span<byte>(iovecs[3].iov_base, 20).Fill(0xbb); // The device leaves 30 bytes.
        Assert.Equal(0xff, _xen.Page(38)[10]);

        guest.Mapper.Release(token);

        Assert.Equal(["copy 3", "copy 2"], _grants.Log);
        Assert.Equal([0xff, 0xaa, 0xaa, 0xaa, 0xaa, 0xff], _xen.Page(38)[9..15].ToArray());
        Assert.Equal([0xbb, 0, 0, 0xff], [_xen.Page(38)[119], _xen.Page(38)[120], _xen.Page(38)[149], _xen.Page(38)[150]]);
    }

    [Fact]
    public void TryMap_OneDirectionLarge_CopiesTheOther()
    {
        using Guest guest = Start(copyLimit: 64);
        Assert.True(guest.TryMap([At(8, 0, 16, false), At(9, 0, 4096, true), At(10, 0, 1, true)], out _, out ulong token));
        guest.Mapper.Release(token);

        Assert.Equal(["copy 1", "map 2 rw", "unmap 2"], _grants.Log);
    }

    [Fact]
    public void TryMap_CopyOfNotGranted_Fails()
    {
        using Guest guest = Start(copyLimit: 64);

        Assert.False(guest.TryMap([At(1000, 0, 16, false)], out _, out _));
        Assert.False(guest.TryMap([At(8, 0, 16, false), At(1000, 0, 4096, true)], out _, out _));
        _grants.CopyError = -EFAULT;
        Assert.False(guest.TryMap([At(8, 0, 16, false)], out _, out _));
    }

    [Fact]
    public void Release_GrantRevokedMeanwhile_LosesTheGuestsDataAndNothingElse()
    {
        using Guest guest = Start(copyLimit: 64);
        Assert.True(guest.TryMap([At(8, 0, 16, true)], out iovec[] iovecs, out ulong token));
        new Span<byte>(iovecs[0].iov_base, 16).Fill(1);
        _grants.Table.Remove(8);

        guest.Mapper.Release(token);

        Assert.Equal(0, _xen.Page(40)[0]);
        Assert.True(guest.TryMap([At(9, 0, 16, true)], out iovecs, out token));
        Assert.Equal(0, *(byte*)iovecs[0].iov_base); // Nothing of the last chain.
        guest.Mapper.Release(token);
    }

    [Fact]
    public void Release_Twice_IsAMistakeThatIsFound()
    {
        using Guest guest = Start(copyLimit: 0);
        Assert.True(guest.TryMap([At(8, 0, 16, true)], out _, out ulong token));
        guest.Mapper.Release(token);

        Assert.Throws<InvalidOperationException>(() => guest.Mapper.Release(token));
        Assert.True(guest.TryMap([At(8, 0, 16, true)], out _, out ulong next));
        Assert.Throws<InvalidOperationException>(() => guest.Mapper.Release(token));
        guest.Mapper.Release(next);
    }

    [Fact]
    public void Release_AfterTheRegionIsGone_StillUnmaps()
    {
        Guest guest = Start(copyLimit: 0);
        Assert.True(guest.TryMap([At(8, 0, 16, true)], out _, out ulong token));
        guest.Dispose();
        Assert.Equal(1, _xen.OpenDevices);

        guest.Mapper.Release(token);

        Assert.Equal((0, 0), (_grants.Mapped.Length, _xen.OpenDevices));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4096)]
    [InlineData(100_000)]
    public void TryRead_AnyLength_CopiesAcrossPages(int length)
    {
        using Guest guest = Start(copyLimit: 0);
        var random = new Random(length);
        for (ulong frame = 9; frame <= 40; frame++) random.NextBytes(_xen.Page(frame));
        var read = new byte[length];

        Assert.True(guest.Mapper.TryRead(GrantBit | (8UL << 12) + 123, read));

        for (int i = 0; i < length; i++)
        {
            int at = i + 123;
            Assert.Equal(_xen.Page(40 - (ulong)(at >> 12))[at & 4095], read[i]);
        }
        Assert.DoesNotContain(_grants.Log, line => line.StartsWith("map", StringComparison.Ordinal));
    }

    [Fact]
    public void TryRead_NotGranted_Fails()
    {
        using Guest guest = Start(copyLimit: 0);

        Assert.False(guest.Mapper.TryRead(GrantBit | 39UL << 12, new byte[8192]));
        Assert.False(guest.Mapper.TryRead(GrantBit | (ulong)uint.MaxValue << 12, new byte[8192]));
    }

    [Fact]
    public void Resolve_ThroughTheMap_MapsOnceAndFailsAsAHole()
    {
        using Guest guest = Start(copyLimit: 0);
        var map = new GuestMemoryMap([guest.Region]);
        IovecList readable = new(), writable = new();

        Assert.Equal(ResolveResult.Ok, map.Resolve([At(8, 0, 16, false), At(9, 0, 512, true)], readable, writable, out bool canPin, out _));
        Assert.Equal((1, 1, false, 2), (readable.Count, writable.Count, canPin, _grants.Mapped.Length));
        guest.Mapper.Release(1UL << 32);

        Assert.Equal(ResolveResult.Hole, map.Resolve([At(1000, 0, 16, false)], readable, writable, out _, out _));
        Assert.True(map.FindRing(new FrontendAddress(GrantBit | 8UL << 12), 16, false, out _) == null);
        var table = new byte[16];
        _xen.Page(40)[..16].Fill(3);
        Assert.True(map.TryRead(new GuestAddress(GrantBit | 8UL << 12), table));
        Assert.Equal(3, table[15]);
    }

    [Fact]
    public void Map_TwoRegionsOfOneGuest_ShareAMapper()
    {
        XenGuestMemoryProvider provider = new(_xen);
        using RegionMapping one = provider.Map(Region(GrantBit, 1 << 20, XenMmapFlags.Grant | XenMmapFlags.NoAdvanceMap), _nothing);
        using RegionMapping other = provider.Map(Region(GrantBit | 1 << 20, 1 << 20, XenMmapFlags.Grant | XenMmapFlags.NoAdvanceMap), _nothing);

        Assert.Same(one.OnDemand, other.OnDemand);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(8192)]
    public void TryMap_SteadyState_AllocatesNothing(int copyLimit)
    {
        using Guest guest = Start(copyLimit);
        GuestRange[] chain = [At(8, 0, 16, false), At(9, 0, 4096, true), At(10, 0, 1, true)];
        var iovecs = new iovec[3];
        long allocated = 0;
        for (int i = 0; i < 200; i++)
        {
            // The fake allocates while it maps; its log tells how much.
            long before = GC.GetAllocatedBytesForCurrentThread() - _grants.Allocated;
            Assert.True(guest.Mapper.TryMap(chain, iovecs, out ulong token));
            guest.Mapper.Release(token);
            if (i >= 100) allocated += GC.GetAllocatedBytesForCurrentThread() - _grants.Allocated - before;
        }

        Assert.Equal(0, allocated);
    }

    [Fact]
    public void TryMap_ManyThreads_EachSeesItsOwnPages()
    {
        using Guest guest = Start(copyLimit: 2048);
        for (ulong frame = 9; frame <= 40; frame++) _xen.Page(frame).Fill((byte)frame);
        var wrong = new ConcurrentQueue<string>();
        var threads = Enumerable.Range(0, 4).Select(worker => new Thread(() =>
        {
            var random = new Random(worker);
            var iovecs = new iovec[2];
            for (int round = 0; round < 500; round++)
            {
                uint reference = FirstReference + (uint)random.Next(32);
                uint length = random.Next(2) == 0 ? 100u : 4096u;
                if (!guest.Mapper.TryMap([At(reference, 0, length, false)], iovecs, out ulong token))
                {
                    wrong.Enqueue($"{reference} not mapped");
                    return;
                }
                byte seen = ((byte*)iovecs[0].iov_base)[99];
                if (seen != 40 - (reference - FirstReference)) wrong.Enqueue($"{reference}: {seen}");
                guest.Mapper.Release(token);
            }
        })).ToArray();
        Array.ForEach(threads, static thread => thread.Start());
        Array.ForEach(threads, static thread => thread.Join());

        Assert.Empty(wrong);
    }

    private static GuestRange At(uint reference, uint offset, uint length, bool writable) =>
        new(new GuestAddress(GrantBit | (ulong)reference << 12 | offset), length, writable);

    private static MemoryRegion Region(ulong address, ulong size, XenMmapFlags flags) =>
        new(new GuestAddress(address), size, default, 0, flags, FakeGntdev.Granter);

    private RegionMapping Map(ulong address, ulong size, XenMmapFlags flags) =>
        new XenGuestMemoryProvider(_xen).Map(Region(address, size, flags), _nothing);

    private Guest Start(int copyLimit, int maxPages = 64)
    {
        var provider = new XenGuestMemoryProvider(_xen, new XenMemoryOptions { CopyLimit = copyLimit, MaxPagesPerChain = maxPages });
        MemoryRegion region = Region(GrantBit, 1UL << 60, XenMmapFlags.Grant | XenMmapFlags.NoAdvanceMap);
        return new Guest(new GuestMemoryRegion(region, provider.Map(region, _nothing)));
    }

    private sealed class Guest(GuestMemoryRegion region) : IDisposable
    {
        public GuestMemoryRegion Region { get; } = region;

        public IOnDemandMapper Mapper { get; } = region.Mapping.OnDemand!;

        public bool TryMap(GuestRange[] ranges, out iovec[] iovecs, out ulong token)
        {
            iovecs = new iovec[ranges.Length];
            return Mapper.TryMap(ranges, iovecs, out token);
        }

        public void Dispose() => Region.Dispose();
    }
}
