using System.Buffers.Binary;
using System.Numerics;
using Backends.Block.Stores;

namespace Backends.Block.Device;

/// <summary>The configuration space, struct virtio_blk_config (virtio 1.3, 5.2.4), as far as offered features reach.</summary>
internal static class BlockConfig
{
    /// <summary>Up to and with write_zeroes_may_unmap and its padding.</summary>
    public const int Size = 60;

    /// <summary>Offset of the one byte that the driver may write.</summary>
    public const int WritebackOffset = 32;

    /// <summary>What Linux moves in one call at most; a longer segment would only be cut.</summary>
    private const uint SizeMax = 0x7ffff000;

    /// <param name="config">Zeroed, <see cref="Size"/> long.</param>
    /// <param name="sectors">Capacity in units of 512 bytes.</param>
    /// <param name="segMax">Data segments in one request.</param>
    /// <param name="blockSize">Logical block size in bytes.</param>
    /// <param name="store">Where the topology comes from.</param>
    /// <param name="writeback">Cache mode now.</param>
    /// <param name="queues">Queues there are.</param>
    public static void Write(
        Span<byte> config, ulong sectors, uint segMax, uint blockSize, StoreProperties store, bool writeback, ushort queues)
    {
        uint physical = Math.Max(store.PhysicalBlockSize, blockSize);
        BinaryPrimitives.WriteUInt64LittleEndian(config, sectors);
        BinaryPrimitives.WriteUInt32LittleEndian(config[8..], SizeMax);
        BinaryPrimitives.WriteUInt32LittleEndian(config[12..], segMax);

        // 16: geometry, not offered.
        BinaryPrimitives.WriteUInt32LittleEndian(config[20..], blockSize);
        config[24] = (byte)BitOperations.Log2(physical / blockSize);
        BinaryPrimitives.WriteUInt16LittleEndian(config[26..], (ushort)Math.Min(store.MinimumIoSize / blockSize, ushort.MaxValue));
        BinaryPrimitives.WriteUInt32LittleEndian(config[28..], store.OptimalIoSize / blockSize);
        config[WritebackOffset] = writeback ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteUInt16LittleEndian(config[34..], queues);
        if (store.ReadOnly)
            return;

        BinaryPrimitives.WriteUInt32LittleEndian(config[48..], BlockRules.MaxWriteZeroesSectors);
        BinaryPrimitives.WriteUInt32LittleEndian(config[52..], BlockRules.MaxRanges);
        config[56] = store.CanDiscard ? (byte)1 : (byte)0;
        if (!store.CanDiscard)
            return;

        BinaryPrimitives.WriteUInt32LittleEndian(config[36..], BlockRules.MaxDiscardSectors);
        BinaryPrimitives.WriteUInt32LittleEndian(config[40..], BlockRules.MaxRanges);
        BinaryPrimitives.WriteUInt32LittleEndian(config[44..], Math.Max(store.DiscardGranularity, blockSize) / (uint)BlockRules.SectorSize);
    }
}
