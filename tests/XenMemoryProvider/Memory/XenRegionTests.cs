using VhostUser.Memory;
using VhostUser.Protocol;
using XenMemoryProvider.Memory;
using Xunit;

namespace XenMemoryProvider.Tests.Memory;

public sealed class XenRegionTests
{
    private const ulong GrantBit = 1UL << 63;

    [Theory]
    [InlineData(XenMmapFlags.Foreign | XenMmapFlags.Grant, "both foreign and granted")]
    [InlineData(XenMmapFlags.Foreign | XenMmapFlags.NoAdvanceMap, "which only grants are")]
    [InlineData(XenMmapFlags.NoAdvanceMap, "Xen flags 0x100")]
    [InlineData(XenMmapFlags.Foreign | XenMmapFlags.Grant | XenMmapFlags.NoAdvanceMap, "Xen flags 0x103")]
    [InlineData((XenMmapFlags)0x40, "Xen flags 0x40")]
    public void Parse_FlagsThatMakeNoSense_AreRefused(XenMmapFlags flags, string why) => Refused(Region(0, 4096, flags), why);

    [Fact]
    public void Parse_OtherRules_AreRefused()
    {
        Refused(Region(0, 4096, XenMmapFlags.Foreign) with { XenDomain = 0x7ff0 }, "domain 32752");
        Refused(Region(0, 4096, XenMmapFlags.Foreign) with { XenDomain = 0x1_0007 }, "domain 65543");
        Refused(Region(0, 4096, XenMmapFlags.Foreign) with { MmapOffset = 4096 }, "no file");
        Refused(Region(0, (1UL << 40) + 1, XenMmapFlags.Foreign), "at most 268435456 are mapped");
        Refused(Region(GrantBit, 65537 << 12, XenMmapFlags.Grant), "65537 grants");
        Refused(Region(GrantBit | 0xffff_ffffUL << 12, 8192, XenMmapFlags.Grant), "32 bits");
    }

    [Fact]
    public void Parse_Foreign_IsFrames()
    {
        Assert.Equal(new XenRegion(XenRegionKind.Foreign, 7, 0x40000, 16, 0), XenRegion.Parse(Region(0x4000_0000, 65536, XenMmapFlags.Foreign)));
        Assert.Equal(new XenRegion(XenRegionKind.Foreign, 7, 1, 2, 0xff0), XenRegion.Parse(Region(0x1ff0, 17, XenMmapFlags.Foreign)));
    }

    [Fact]
    public void Parse_Grants_AreReferencesWithOrWithoutTheBit()
    {
        // As rust-vmm sends them: the available ring in the middle of a page.
        Assert.Equal(new XenRegion(XenRegionKind.Grants, 7, 9, 2, 0x800), XenRegion.Parse(Region(GrantBit | 0x9800, 0x900, XenMmapFlags.Grant)));
        Assert.Equal(new XenRegion(XenRegionKind.Grants, 7, 9, 1, 0), XenRegion.Parse(Region(0x9000, 4096, XenMmapFlags.Grant)));
        Assert.Equal(uint.MaxValue, XenRegion.Parse(Region(GrantBit | 0xffff_ffffUL << 12, 4096, XenMmapFlags.Grant)).FirstPage);
    }

    [Fact]
    public void Parse_OnDemand_MayBeAsLargeAsTheAddressSpace()
    {
        XenRegion region = XenRegion.Parse(Region(GrantBit, 1UL << 63, XenMmapFlags.Grant | XenMmapFlags.NoAdvanceMap));

        Assert.Equal((XenRegionKind.GrantsOnDemand, 0), (region.Kind, region.Pages));
    }

    [Fact]
    public void HoleMap_AnyPattern_AgreesWithALookAtEveryPage()
    {
        var random = new Random(3);
        for (int round = 0; round < 300; round++)
        {
            int pages = random.Next(1, 300);
            var map = new HoleMap(pages);
            var holes = new HashSet<int>();
            for (int i = random.Next(4); i > 0; i--)
            {
                int page = random.Next(pages);
                if (holes.Add(page)) map.Add(page);
            }

            for (int i = 0; i < 50; i++)
            {
                ulong offset = (ulong)random.NextInt64((long)pages << 12);
                ulong length = (ulong)random.NextInt64(((long)pages << 12) - (long)offset + 1);
                bool free = length == 0 || !holes.Any(page => (ulong)page >= offset >> 12 && (ulong)page <= (offset + length - 1) >> 12);
                Assert.Equal(free, map.IsFree(offset, length));
            }
        }
    }

    [Fact]
    public void HoleMap_Describe_NamesRuns()
    {
        var map = new HoleMap(200);
        foreach (int page in new[] { 1, 2, 3, 64, 127, 128, 150, 199 }) map.Add(page);

        Assert.Equal("0x101-0x103, 0x140, 0x17f-0x180, 0x196, ...", map.Describe(0x100));
        Assert.Equal("0x101-0x103, 0x140, 0x17f-0x180, 0x196, 0x1c7", map.Describe(0x100, 9));
    }

    private static MemoryRegion Region(ulong address, ulong size, XenMmapFlags flags) =>
        new(new GuestAddress(address), size, default, 0, flags, 7);

    private static void Refused(in MemoryRegion region, string why)
    {
        MemoryRegion copy = region;
        Assert.Contains(why, Assert.Throws<GuestMemoryException>(() => XenRegion.Parse(copy)).Message);
    }
}
