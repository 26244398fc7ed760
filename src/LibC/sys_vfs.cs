using System.Runtime.InteropServices;

namespace VhostXen.Linux;

/// <summary>What kind of file system, in f_type; sizes in blocks.</summary>
[CStruct(header: "sys/vfs.h")]
public unsafe struct statfs
{
    public long f_type;
    public long f_bsize;
    public ulong f_blocks;
    public ulong f_bfree;
    public ulong f_bavail;
    public ulong f_files;
    public ulong f_ffree;
    [NotInC("a structure of two ints")]
    public ulong f_fsid;
    public long f_namelen;
    public long f_frsize;
    public long f_flags;
    [NotInC("reserved")]
    private fixed long f_spare[4];
}

[CHeader("sys/vfs.h")]
public static unsafe partial class LibC
{
    [CConstant(header: "linux/magic.h")]
    public const long TMPFS_MAGIC = 0x01021994;
    [CConstant(header: "linux/magic.h")]
    public const long RAMFS_MAGIC = 0x858458f6;

    [LibraryImport(libc, SetLastError = true)]
    public static partial int fstatfs(int fd, statfs* buffer);
}
