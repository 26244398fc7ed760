using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Kernel.Linux;
using Xunit;

namespace XenMemoryProvider.Tests.Kernel;

public sealed class HypercallBufferTests : IDisposable
{
    private readonly HypercallPages _pages = new();

    public void Dispose() => _pages.Dispose();

    [Fact]
    public void Allocate_AnySize_IsWholeZeroedPages()
    {
        using HypercallBuffer small = _pages.Allocate(0);
        using HypercallBuffer large = _pages.Allocate(4097);

        Assert.Equal((4096, 8192), (small.Capacity, large.Capacity));
        Assert.Equal(0u, small.Address % 4096);
        ulong handle = large.Put<byte>(new byte[8192]);
        Assert.Equal(large.Address, handle);
    }

    [Fact]
    public void Put_SeveralArguments_AreApartAndReadBack()
    {
        using HypercallBuffer buffer = _pages.Allocate(4096);

        ulong odd = buffer.Put<byte>([1, 2, 3]);
        ulong list = buffer.Put<ulong>([7, 8, 9]);
        ulong call = buffer.Put(new MemoryOp.AcquireResource { Domid = 5, NrFrames = 3, FrameList = list });

        Assert.Equal(buffer.Address, odd);
        Assert.Equal(buffer.Address + 8, list);
        Assert.Equal([1, 2, 3], buffer.Span<byte>(odd, 3).ToArray());
        Assert.Equal([7ul, 8, 9], buffer.Span<ulong>(buffer.At<MemoryOp.AcquireResource>(call).FrameList, 3).ToArray());
        buffer.At<MemoryOp.AcquireResource>(call).NrFrames = 1;
        Assert.Equal(1u, buffer.At<MemoryOp.AcquireResource>(call).NrFrames);
        Assert.Equal((int)(call - buffer.Address) + 32, buffer.Used.Length);
    }

    [Fact]
    public void Put_NothingOrTooMuch_IsNoHandleOrRefused()
    {
        using HypercallBuffer buffer = _pages.Allocate(4096);

        Assert.Equal(0u, buffer.Put<ulong>([]));
        buffer.Put<byte>(new byte[4089]);
        Assert.Throws<InvalidOperationException>(() => buffer.Put<byte>(1));
        buffer.Reset();
        Assert.Equal(buffer.Address, buffer.Put<ulong>(1));
    }

    [Theory]
    [InlineData(-8, 1)]
    [InlineData(0, 3)]
    [InlineData(8, 2)]
    [InlineData(24, 1)]
    [InlineData(0, -1)]
    [InlineData(0, int.MaxValue)]
    public void Span_OutsideTheArguments_IsRefused(long offset, int count)
    {
        using HypercallBuffer buffer = _pages.Allocate(4096);
        ulong handle = buffer.Put<ulong>([1, 2]);

        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Span<ulong>(handle + (ulong)offset, count).Length);
    }
}
