namespace Backends.Block.Device;

/// <summary>What makes a request one that can be done. Pure: numbers from the guest in, a status out.</summary>
internal static class BlockRules
{
    public const ulong SectorSize = 512;

    /// <summary>Segments in one discard or write-zeroes request.</summary>
    public const int MaxRanges = 32;

    /// <summary>Sectors in one segment of a discard: 2 GiB.</summary>
    public const uint MaxDiscardSectors = 4 * 1024 * 1024;

    /// <summary>Sectors in one segment of write-zeroes: 64 MiB, for where zeroes have to be written one by one.</summary>
    public const uint MaxWriteZeroesSectors = 128 * 1024;

    // A chain holds 4 GiB at most (virtio 1.3, 2.7.4), and one byte of it is the status.
    private const ulong MaxData = uint.MaxValue - 1;

    /// <summary>A read or write of <paramref name="length"/> bytes.</summary>
    public static BlockStatus CheckTransfer(ulong sector, ulong length, ulong capacity)
        => length is 0 or > MaxData || length % SectorSize != 0 || !IsInside(sector, length / SectorSize, capacity)
            ? BlockStatus.IoError
            : BlockStatus.Ok;

    /// <summary>The data of a discard or write-zeroes request, as a whole.</summary>
    public static BlockStatus CheckRangesLength(ulong length)
        => length == 0 || length % BlockRange.Size != 0 || length > MaxRanges * BlockRange.Size
            ? BlockStatus.IoError
            : BlockStatus.Ok;

    /// <summary>One segment. Flags that are not known, and unmap in a discard, are "unsupported" (virtio 1.3, 5.2.6.2).</summary>
    public static BlockStatus CheckRange(BlockRequestType type, in BlockRange range, ulong capacity)
    {
        uint known = type == BlockRequestType.WriteZeroes ? BlockRange.FlagUnmap : 0;
        if ((range.Flags & ~known) != 0)
            return BlockStatus.Unsupported;

        uint most = type == BlockRequestType.WriteZeroes ? MaxWriteZeroesSectors : MaxDiscardSectors;
        return range.Sectors == 0 || range.Sectors > most || !IsInside(range.Sector, range.Sectors, capacity)
            ? BlockStatus.IoError
            : BlockStatus.Ok;
    }

    private static bool IsInside(ulong sector, ulong sectors, ulong capacity) => sectors <= capacity && sector <= capacity - sectors;
}
