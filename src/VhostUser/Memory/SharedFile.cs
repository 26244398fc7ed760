using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace VhostUser.Memory;

/// <summary>Facts about a file that a front-end sent for mapping.</summary>
internal static unsafe class SharedFile
{
    /// <summary>Length in bytes.</summary>
    /// <exception cref="GuestMemoryException">The descriptor is not a file.</exception>
    public static ulong Length(FileDescriptor fd)
    {
        long length = lseek(fd, 0, SEEK_END);
        return length >= 0 ? (ulong)length : throw new GuestMemoryException("the descriptor sent for a memory region is not a file");
    }

    /// <summary>Adds F_SEAL_SHRINK where the file can be sealed; a refusal is no error (hugetlbfs, or sealed for good).</summary>
    public static void SealAgainstShrinking(FileDescriptor fd) => _ = fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);

    /// <summary>The file system's page size less one: 4095, or more on hugetlbfs.</summary>
    public static ulong PageMask(FileDescriptor fd)
    {
        const int HugetlbfsMagic = unchecked((int)0x958458f6);
        statfs stat;
        if (fstatfs(fd, &stat) == 0 && (int)stat.f_type == HugetlbfsMagic && stat.f_bsize > 4096)
            return (ulong)stat.f_bsize - 1;

        return 4095;
    }
}
