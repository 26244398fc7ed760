using Backends.Block.Stores;

namespace Backends.Block.Tests.Stores;

public sealed class MemoryStoreTests
{
    [Fact]
    public void ReadWriteZero_AnyShape_KeepsEveryByte()
    {
        const int size = 256 * 1024;
        using StoreProbe probe = new(new MemoryStore(size));
        byte[] expected = new byte[size];
        Random random = new(3);
        for (int i = 0; i < 300; i++)
        {
            int length = 512 * random.Next(1, 50);
            int offset = 512 * random.Next(0, (size - length) / 512);
            if (i % 3 == 0)
            {
                Assert.Equal(0, probe.Range(i % 2 == 0 ? StoreOperation.Discard : StoreOperation.WriteZeroes, (ulong)offset, (ulong)length));
                expected.AsSpan(offset, length).Clear();
            }
            else
            {
                byte[] data = TestFile.Pattern(length, i);
                Assert.Equal(0, probe.Write((ulong)offset, data, pieces: random.Next(1, 6)));
                data.CopyTo(expected, offset);
            }
        }

        byte[] all = new byte[size];
        Assert.Equal(0, probe.Read(0, all, pieces: 5));
        Assert.Equal(expected, all);
        Assert.Equal(0, probe.Flush());
    }

    [Fact]
    public void Null_Read_LeavesTheBufferAndCompletes()
    {
        using StoreProbe probe = new(new NullStore(1 << 30));
        byte[] data = new byte[4096];
        Assert.Equal(0, probe.Read(0, data));
        Assert.All(data, static b => Assert.Equal(0xee, b));
    }

    [Fact]
    public void Memory_MoreThanTheAddressSpace_IsOneLine()
    {
        StoreException e = Assert.Throws<StoreException>(() => new MemoryStore(1UL << 60));
        Assert.DoesNotContain('\n', e.Message);
    }
}
