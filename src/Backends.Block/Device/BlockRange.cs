using System.Buffers.Binary;

namespace Backends.Block.Device;

/// <summary>One segment of a discard or write-zeroes request (virtio 1.3, 5.2.6: virtio_blk_discard_write_zeroes).</summary>
/// <param name="Sector">First, in units of 512 bytes.</param>
/// <param name="Sectors">How many.</param>
/// <param name="Flags">Bit 0: unmap. The others are reserved.</param>
internal readonly record struct BlockRange(ulong Sector, uint Sectors, uint Flags)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 16;

    public const uint FlagUnmap = 1;

    public bool Unmap => (Flags & FlagUnmap) != 0;

    public static BlockRange Read(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadUInt64LittleEndian(bytes),
        BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]),
        BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]));
}
