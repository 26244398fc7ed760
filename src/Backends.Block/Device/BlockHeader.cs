using System.Buffers.Binary;

namespace Backends.Block.Device;

/// <summary>The first 16 bytes of a request; the reserved word (once a priority) is ignored.</summary>
/// <param name="Type">What to do.</param>
/// <param name="Sector">Where, in units of 512 bytes.</param>
internal readonly record struct BlockHeader(BlockRequestType Type, ulong Sector)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 16;

    public static BlockHeader Read(ReadOnlySpan<byte> bytes) => new(
        (BlockRequestType)BinaryPrimitives.ReadUInt32LittleEndian(bytes),
        BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..]));
}
