using VhostUser.Memory;
using VhostUser.Protocol;
using Xunit;

namespace VhostUser.Tests.Memory;

public sealed class IotlbTests
{
    private readonly List<(ulong Address, bool Write)> _misses = [];
    private readonly Iotlb _iotlb;

    public IotlbTests() => _iotlb = new Iotlb((address, write) => _misses.Add((address, write)));

    [Fact]
    public void TryTranslate_AcrossTwoEntries_GivesTwoPieces()
    {
        _iotlb.Update(0x1000, 0x1000, new GuestAddress(0x9000), read: true, write: true);
        _iotlb.Update(0x2000, 0x1000, new GuestAddress(0x5000), read: true, write: true);

        Assert.Equal([(0x9ff0ul, 16u), (0x5000ul, 16u)], Translate(0x1ff0, 32, false));
    }

    [Fact]
    public void TryTranslate_WriteToAReadOnlyEntry_IsAMiss()
    {
        _iotlb.Update(0x1000, 0x1000, new GuestAddress(0x9000), read: true, write: false);

        Assert.NotNull(Translate(0x1000, 8, false));
        Assert.Null(Translate(0x1000, 8, true));
        Assert.Equal([(0x1000ul, true)], _misses);
    }

    [Fact]
    public void Invalidate_PartOfAnEntry_DropsIt()
    {
        _iotlb.Update(0x1000, 0x3000, new GuestAddress(0x9000), read: true, write: true);
        _iotlb.Invalidate(0x2000, 1);

        Assert.Null(Translate(0x1000, 8, false));
    }

    [Fact]
    public void Update_OverlappingRange_ReplacesTheOldEntry()
    {
        _iotlb.Update(0x1000, 0x2000, new GuestAddress(0x9000), read: true, write: true);
        _iotlb.Update(0x2000, 0x1000, new GuestAddress(0x4000), read: true, write: true);

        Assert.Equal([(0x4000ul, 8u)], Translate(0x2000, 8, false));
        Assert.Null(Translate(0x1000, 8, false));
    }

    [Fact]
    public void Update_MoreThanItHolds_StaysBounded()
    {
        for (ulong i = 0; i < Iotlb.Capacity + 10; i++)
            _iotlb.Update(i << 12, 4096, new GuestAddress(i << 12), read: true, write: true);

        Assert.Null(Translate(0, 1, false));
        Assert.NotNull(Translate((Iotlb.Capacity + 9ul) << 12, 1, false));
    }

    [Fact]
    public void TryTranslate_WholeAddressSpace_DoesNotOverflow()
    {
        _iotlb.Update(0, ulong.MaxValue, new GuestAddress(0), read: true, write: true);
        Assert.NotNull(Translate(0xffff_ffff_0000_0000, uint.MaxValue, true));
    }

    [Fact]
    public void TryTranslate_ToAndFroBetweenTinyEntries_EndsAtTheBound()
    {
        for (ulong i = 0; i < Iotlb.Capacity; i++)
            _iotlb.Update(i, 1, new GuestAddress(i * 4096), read: true, write: true);

        // Every entry once is the most there can be; what goes on to another would have thrown one out.
        List<GuestRange> output = [];
        GuestRange all = new(new GuestAddress(0), Iotlb.Capacity, Writable: false);
        Assert.Equal(TranslateResult.Ok, _iotlb.TryTranslate([all], output));
        Assert.Equal(Iotlb.Capacity, output.Count);

        output.Clear();
        Assert.Equal(TranslateResult.TooScattered, _iotlb.TryTranslate([.. Enumerable.Repeat(all, 1000)], output));
        Assert.Equal(Iotlb.Capacity, output.Count);
        Assert.Empty(_misses);

        // Many buffers in one place are no matter.
        output.Clear();
        GuestRange first = new(new GuestAddress(0), 1, Writable: false);
        Assert.Equal(TranslateResult.Ok, _iotlb.TryTranslate([.. Enumerable.Repeat(first, 32768)], output));
    }

    private List<(ulong Address, uint Length)>? Translate(ulong address, uint length, bool write)
    {
        List<GuestRange> output = [];
        GuestRange[] ranges = [new GuestRange(new GuestAddress(address), length, write)];
        return _iotlb.TryTranslate(ranges, output) == TranslateResult.Ok ? [.. output.Select(range => (range.Address.Value, range.Length))] : null;
    }
}
