using System.Runtime.InteropServices;

namespace VhostXen.Linux;

[CStruct(header: "sys/stat.h")]
public struct statx_timestamp
{
    public long tv_sec;
    public uint tv_nsec;
    [NotInC("reserved")]
    public int __reserved;
}

/// <summary>The stat structure that is the same on every architecture; struct stat is not.</summary>
[CStruct(header: "sys/stat.h")]
public unsafe struct statx
{
    public uint stx_mask;
    public uint stx_blksize;
    public ulong stx_attributes;
    public uint stx_nlink;
    public uint stx_uid;
    public uint stx_gid;
    public ushort stx_mode;
    [NotInC("reserved")]
    private ushort spare0;
    public ulong stx_ino;
    /// <summary>In bytes.</summary>
    public ulong stx_size;
    /// <summary>In units of 512 bytes.</summary>
    public ulong stx_blocks;
    public ulong stx_attributes_mask;
    public statx_timestamp stx_atime;
    public statx_timestamp stx_btime;
    public statx_timestamp stx_ctime;
    public statx_timestamp stx_mtime;
    public uint stx_rdev_major;
    public uint stx_rdev_minor;
    public uint stx_dev_major;
    public uint stx_dev_minor;
    public ulong stx_mnt_id;
    /// <summary>0 where the kernel does not tell (before 6.1).</summary>
    public uint stx_dio_mem_align;
    /// <summary>0 where the kernel does not tell (before 6.1).</summary>
    public uint stx_dio_offset_align;
    [NotInC("reserved")]
    private fixed ulong spare3[12];
}

[CHeader("sys/stat.h")]
public static unsafe partial class LibC
{
    public const int S_IFMT = 0xf000;
    public const int S_IFSOCK = 0xc000;
    public const int S_IFREG = 0x8000;
    public const int S_IFBLK = 0x6000;
    public const int S_IFDIR = 0x4000;
    public const int S_IFCHR = 0x2000;
    public const int S_IFIFO = 0x1000;
    public const uint STATX_BASIC_STATS = 0x7ff;
    public const uint STATX_DIOALIGN = 0x2000;

    /// <summary>With "" and AT_EMPTY_PATH it describes <paramref name="dirfd"/> itself.</summary>
    [LibraryImport(libc, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int statx(int dirfd, string path, int flags, uint mask, statx* buffer);

    [LibraryImport(libc, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int chmod(string path, uint mode);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int fchmod(int fd, uint mode);

    [LibraryImport(libc, SetLastError = true)]
    public static partial uint umask(uint mask);
}
