using System.Buffers.Binary;
using Backends.Block.Device;
using Backends.Block.Stores;
using Backends.Block.Tests.Stores;
using Microsoft.Extensions.Logging.Abstractions;

namespace Backends.Block.Tests.Device;

public sealed class BlockDeviceTests
{
    private const ulong Wce = BlockFeatures.ConfigWce;
    private const ulong Flush = BlockFeatures.Flush;

    [Fact]
    public void Config_Fields_AreWhereTheSpecificationPutsThem()
    {
        StoreProperties properties = new(false, true, 512, 4096, MinimumIoSize: 16384, OptimalIoSize: 1 << 20, DiscardGranularity: 8192);
        using BlockDevice device = new(
            new RecordingStore(new NullStore(1_000_000 * 512)) { Properties = properties },
            new BlockDeviceOptions { Queues = 3, QueueSize = 64 }, NullLogger.Instance);
        byte[] config = Config(device);
        Assert.Equal(1_000_000UL, BinaryPrimitives.ReadUInt64LittleEndian(config));
        Assert.True(U32(config, 8) >= 4096);
        Assert.Equal(62u, U32(config, 12));
        Assert.Equal(0u, U32(config, 16));
        Assert.Equal(512u, U32(config, 20));
        Assert.Equal(3, config[24]);
        Assert.Equal(0, config[25]);
        Assert.Equal(32, BinaryPrimitives.ReadUInt16LittleEndian(config.AsSpan(26)));
        Assert.Equal(2048u, U32(config, 28));
        Assert.Equal(1, config[32]);
        Assert.Equal(3, BinaryPrimitives.ReadUInt16LittleEndian(config.AsSpan(34)));
        Assert.Equal(BlockRules.MaxDiscardSectors, U32(config, 36));
        Assert.Equal(32u, U32(config, 40));
        Assert.Equal(16u, U32(config, 44));
        Assert.Equal(BlockRules.MaxWriteZeroesSectors, U32(config, 48));
        Assert.Equal(32u, U32(config, 52));
        Assert.Equal(1, config[56]);
        Assert.Equal(60, config.Length);
    }

    [Fact]
    public void Capacity_OddLength_IsWholeBlocks()
    {
        using BlockDevice device = new(
            new NullStore((10 * 4096) + 4095), new BlockDeviceOptions { LogicalBlockSize = 4096 }, NullLogger.Instance);
        Assert.Equal(80UL, device.Sectors);
        Assert.Equal(4096u, U32(Config(device), 20));
        Assert.Throws<StoreException>(() => new BlockDevice(
            new NullStore(2048), new BlockDeviceOptions { LogicalBlockSize = 4096 }, NullLogger.Instance));
    }

    [Fact]
    public void Features_ReadOnly_OffersNothingThatWrites()
    {
        using BlockDevice device = Make(new BlockDeviceOptions { ReadOnly = true }, out _);
        Assert.NotEqual(0UL, device.Features & BlockFeatures.ReadOnly);
        Assert.Equal(0UL, device.Features & (BlockFeatures.Discard | BlockFeatures.WriteZeroes));
        Assert.All(Config(device)[36..], static b => Assert.Equal(0, b));
    }

    // virtio 1.3, 5.2.6.2: what the driver took decides when a write is stable.
    [Theory]
    [InlineData(true, 0UL, true)]
    [InlineData(false, 0UL, true)]
    [InlineData(true, Flush, false)]
    [InlineData(false, Flush, true)]
    [InlineData(true, Flush | Wce, false)]
    [InlineData(false, Flush | Wce, true)]
    [InlineData(true, Wce, true)]
    public void Write_ByCacheModeAndFeatures_IsDurableOrNot(bool writeback, ulong features, bool durable)
    {
        RecordingStore store = new(new MemoryStore(1 << 20));
        using BlockRig rig = new(store, new BlockDeviceOptions { Queues = 1, Writeback = writeback }, features);
        Assert.Equal(0, rig.Out(BlockRequestType.Out, 0, new byte[512]));
        Assert.Equal(durable, store.Operations[0].Durable);
    }

    [Fact]
    public void Wce_ToggledAtRunTime_ChangesTheNextWriteAndFlushesOnce()
    {
        RecordingStore store = new(new MemoryStore(1 << 20));
        using BlockRig rig = new(store);
        rig.Out(BlockRequestType.Out, 0, new byte[512]);
        Assert.True(rig.Device.WriteConfig(32, [0]));
        rig.Out(BlockRequestType.Out, 0, new byte[512]);
        Assert.True(rig.Device.WriteConfig(32, [0]));
        Assert.True(rig.Device.WriteConfig(32, [1]));
        rig.Out(BlockRequestType.Out, 0, new byte[512]);
        Assert.Equal([false, true, false], store.Operations.Select(static seen => seen.Durable));
        Assert.Equal(1, store.Flushes);
        Assert.Equal(1, Config(rig.Device)[32]);
        rig.Device.WriteConfig(32, [0]);
        rig.Device.Reset();
        Assert.Equal(1, Config(rig.Device)[32]);
    }

    [Fact]
    public void WriteConfig_AnythingElse_IsRefused()
    {
        using BlockDevice device = Make(new BlockDeviceOptions(), out _);
        Assert.False(device.WriteConfig(0, new byte[8]));
        Assert.False(device.WriteConfig(32, [2]));
        Assert.False(device.WriteConfig(33, [0]));
        Assert.False(device.WriteConfig(32, []));
        byte[] whole = Config(device);
        whole[32] = 0;
        Assert.True(device.WriteConfig(0, whole));
        Assert.True(device.Writethrough);
        whole[0]++;
        Assert.False(device.WriteConfig(0, whole));
    }

    [Fact]
    public void Refresh_FileGrew_IsANewCapacity()
    {
        using TestFile file = new(1 << 20);
        using BlockRig rig = new(new FileStore(new FileStoreOptions { Path = file.Path }));
        Assert.Equal(1, rig.Out(BlockRequestType.Out, 2048, new byte[512]));
        using (FileStream stream = new(file.Path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
            stream.SetLength(2 << 20);

        rig.Device.Refresh();
        Assert.Equal(4096UL, rig.Device.Sectors);
        Assert.Equal(0, rig.Out(BlockRequestType.Out, 2048, new byte[512]));
    }

    private static uint U32(byte[] config, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(config.AsSpan(offset));

    private static byte[] Config(BlockDevice device)
    {
        byte[] config = new byte[device.ConfigSize];
        device.ReadConfig(config);
        return config;
    }

    private static BlockDevice Make(BlockDeviceOptions options, out RecordingStore store)
    {
        store = new RecordingStore(new MemoryStore(1 << 20));
        return new BlockDevice(store, options, NullLogger.Instance);
    }
}
