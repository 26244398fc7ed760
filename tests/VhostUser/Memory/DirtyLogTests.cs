using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;
using Xunit;

namespace VhostUser.Tests.Memory;

public sealed class DirtyLogTests
{
    [Theory]
    [InlineData(0ul, 1ul, new int[] { 0 })]
    [InlineData(4095ul, 2ul, new int[] { 0, 1 })]
    [InlineData(0x20000ul, 0x2001ul, new int[] { 32, 33, 34 })]
    [InlineData(0x7000ul, 0ul, new int[] { })]
    [InlineData(63 * 4096ul, ulong.MaxValue, new int[] { 63 })]
    [InlineData(64 * 4096ul, 4096ul, new int[] { })]
    public void Mark_Range_SetsTheBitOfEveryPageTouchedAndNoOther(ulong address, ulong length, int[] pages)
    {
        using FileDescriptor fd = MemFd.Create("log", 4096);
        using MappedMemory view = MappedMemory.Map(fd, 0, 4096);
        using DirtyLog log = DirtyLog.Map(fd, 0, 8);
        log.Mark(new GuestAddress(address), length);

        Assert.Equal(pages, Enumerable.Range(0, 4096 * 8).Where(page => (view.Span[page / 8] >> (page % 8) & 1) != 0));
    }

    // CVE-2020-10722: offset and size are checked against overflow before anything is mapped.
    [Theory]
    [InlineData(0ul, 0ul)]
    [InlineData(0ul, 4097ul)]
    [InlineData(4096ul, 1ul)]
    [InlineData(ulong.MaxValue - 3, 8ul)]
    [InlineData(8ul, ulong.MaxValue)]
    public void Map_OutsideTheFile_IsRefused(ulong offset, ulong size)
    {
        using FileDescriptor fd = MemFd.Create("log", 4096);
        Assert.Throws<GuestMemoryException>(() => DirtyLog.Map(fd, offset, size));
    }

    [Fact]
    public void Covers_LastPage_IsExact()
    {
        using FileDescriptor fd = MemFd.Create("log", 4096);
        using DirtyLog log = DirtyLog.Map(fd, 0, 1);
        Assert.True(log.Covers(new GuestAddress(7 * 4096), 4096));
        Assert.False(log.Covers(new GuestAddress(7 * 4096), 4097));
        Assert.False(log.Covers(new GuestAddress(ulong.MaxValue), 2));
    }
}
