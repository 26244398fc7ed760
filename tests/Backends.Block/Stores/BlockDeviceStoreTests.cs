using Backends.Block.Stores;

namespace Backends.Block.Tests.Stores;

/// <summary>A host block device behind the store: a loop device, skipped where there is none.</summary>
public sealed class BlockDeviceStoreTests : IDisposable
{
    private const int MiB = 1024 * 1024;
    private readonly TestFile _file = new(16 * MiB);

    public static TheoryData<int, bool, bool> Ways => new()
    {
        { 512, false, true }, { 512, true, true }, { 4096, true, true }, { 4096, false, true }, { 4096, true, false },
    };

    public void Dispose() => _file.Dispose();

    [Theory]
    [MemberData(nameof(Ways))]
    public void Device_EveryOperation_DoesWhatItSays(int sectorSize, bool direct, bool ioUring)
    {
        using LoopDevice? device = LoopDevice.TryCreate(_file.Path, sectorSize);
        Assert.SkipWhen(device is null, "no loop devices here");
        using FileStore store = new(new FileStoreOptions { Path = device!.Path, Direct = direct });
        using StoreProbe probe = new(store, ioUring);
        Assert.True(store.IsBlockDevice);
        Assert.Equal(16UL * MiB, store.Length);
        Assert.Equal((uint)sectorSize, store.Properties.LogicalBlockSize);
        Assert.True(store.Properties.CanDiscard);

        byte[] data = TestFile.Pattern(4 * MiB, 1);
        Assert.Equal(0, probe.Write(0, data, pieces: 3, misalign: 8));
        Assert.Equal(0, probe.Flush());
        ulong before = _file.Blocks;

        // Off the grid of a 4 KiB device: through the page cache, and still seen by direct reads.
        byte[] odd = TestFile.Pattern(512, 2);
        Assert.Equal(0, probe.Write(8192 + 512, odd, durable: true));
        odd.CopyTo(data, 8192 + 512);
        Assert.Equal(0, probe.Range(StoreOperation.Discard, MiB, MiB));
        Assert.Equal(before - (MiB / 512), _file.Blocks);
        Assert.Equal(0, probe.Range(StoreOperation.WriteZeroes, 2 * MiB, MiB, unmap: true, durable: true));
        Assert.Equal(0, probe.Range(StoreOperation.WriteZeroes, (3 * MiB) + 512, 4096));
        Assert.Equal(0, probe.Flush());
        data.AsSpan(MiB, 2 * MiB).Clear();
        data.AsSpan((3 * MiB) + 512, 4096).Clear();
        byte[] back = new byte[data.Length];
        Assert.Equal(0, probe.Read(0, back, pieces: 2));
        Assert.Equal(data, back);
    }

    [Fact]
    public void Device_OpenTwice_IsRefused()
    {
        using LoopDevice? device = LoopDevice.TryCreate(_file.Path, 512);
        Assert.SkipWhen(device is null, "no loop devices here");
        using FileStore first = new(new FileStoreOptions { Path = device!.Path });
        Assert.Throws<StoreException>(() => new FileStore(new FileStoreOptions { Path = device.Path }));
    }
}
