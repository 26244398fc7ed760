using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace VhostUser.Memory;

/// <summary>Facts about a file that a front-end sent for mapping.</summary>
internal static class SharedFile
{
    /// <summary>Length in bytes.</summary>
    /// <exception cref="GuestMemoryException">The descriptor is not a file.</exception>
    public static ulong Length(FileDescriptor fd)
    {
        long length = lseek(fd.Value, 0, SEEK_END);
        return length >= 0 ? (ulong)length : throw new GuestMemoryException("the descriptor sent for a memory region is not a file");
    }

    /// <summary>Adds F_SEAL_SHRINK where the file can be sealed; a refusal is no error (not a memfd, or sealed for good).</summary>
    /// <returns>True when nobody can cut the file short any more.</returns>
    public static bool SealAgainstShrinking(FileDescriptor fd)
    {
        _ = fcntl(fd.Value, F_ADD_SEALS, F_SEAL_SHRINK);
        int seals = fcntl(fd.Value, F_GET_SEALS);
        return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
    }

    /// <summary>The unit that mmap's offset is in, less one: 4095, or the huge page's on hugetlbfs (its block size).</summary>
    public static ulong PageMask(FileDescriptor fd)
    {
        uint blockSize = FileIO.Stat(fd).stx_blksize;
        return blockSize > 4096 && System.Numerics.BitOperations.IsPow2(blockSize) ? blockSize - 1 : 4095UL;
    }
}
