using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Backends.Block.Stores;

/// <summary>What O_DIRECT asks for: powers of two, or 0 when it is not used.</summary>
/// <param name="Memory">Of buffer addresses, in bytes.</param>
/// <param name="Offset">Of file offsets and of each buffer's length, in bytes.</param>
internal readonly record struct DirectAlignment(uint Memory, uint Offset)
{
    /// <summary>As the kernel tells (6.1 and later), or the largest that is usual.</summary>
    public static unsafe DirectAlignment Of(in statx stat, FileDescriptor file, bool isBlockDevice)
    {
        if (stat.stx_dio_offset_align != 0)
            return new DirectAlignment(Math.Max(stat.stx_dio_mem_align, 1), stat.stx_dio_offset_align);

        int sector = 0;
        if (isBlockDevice && FileIO.Ioctl(file.Value, BLKSSZGET, &sector) >= 0 && sector > 0)
            return new DirectAlignment((uint)sector, (uint)sector);

        return new DirectAlignment(4096, 4096);
    }
}
