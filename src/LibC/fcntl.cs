using System.Runtime.InteropServices;

namespace VhostXen.Linux;

/// <summary>A range of a file to lock; all zero but the type is the whole file.</summary>
[CStruct(header: "fcntl.h")]
public struct flock
{
    public short l_type;
    public short l_whence;
    public long l_start;
    public long l_len;

    /// <summary>0 for F_OFD_ commands.</summary>
    public int l_pid;
}

[CHeader("fcntl.h")]
public static unsafe partial class LibC
{
    public const int O_RDONLY = 0;
    public const int O_WRONLY = 1;
    public const int O_RDWR = 2;
    public const int O_ACCMODE = 3;
    public const int O_CREAT = 0x40;
    public const int O_EXCL = 0x80;
    public const int O_NOCTTY = 0x100;
    public const int O_TRUNC = 0x200;
    public const int O_APPEND = 0x400;
    public const int O_NONBLOCK = 0x800;
    public const int O_DSYNC = 0x1000;
    public const int O_CLOEXEC = 0x80000;
    public static int O_DIRECT => IsArm64 ? 0x10000 : 0x4000;
    public static int O_DIRECTORY => IsArm64 ? 0x4000 : 0x10000;
    public static int O_NOFOLLOW => IsArm64 ? 0x8000 : 0x20000;
    public const int F_GETFD = 1;
    public const int F_SETFD = 2;
    public const int F_GETFL = 3;
    public const int F_SETFL = 4;
    public const int F_DUPFD_CLOEXEC = 1030;
    public const int F_ADD_SEALS = 1033;
    public const int F_GET_SEALS = 1034;
    public const int F_SEAL_SEAL = 1;
    public const int F_SEAL_SHRINK = 2;
    public const int F_SEAL_GROW = 4;
    public const int F_SEAL_WRITE = 8;
    public const int F_OFD_GETLK = 36;
    public const int F_OFD_SETLK = 37;
    public const short F_RDLCK = 0;
    public const short F_WRLCK = 1;
    public const short F_UNLCK = 2;
    public const int FD_CLOEXEC = 1;
    public const int AT_FDCWD = -100;
    public const int AT_EMPTY_PATH = 0x1000;
    public const int AT_SYMLINK_NOFOLLOW = 0x100;
    [CConstant(header: "linux/falloc.h")]
    public const int FALLOC_FL_KEEP_SIZE = 1;
    [CConstant(header: "linux/falloc.h")]
    public const int FALLOC_FL_PUNCH_HOLE = 2;
    [CConstant(header: "linux/falloc.h")]
    public const int FALLOC_FL_ZERO_RANGE = 0x10;

    public const int POSIX_FADV_DONTNEED = 4;

    [NotInC("chooses between the values of two architectures")]
    private static bool IsArm64 => RuntimeInformation.ProcessArchitecture == Architecture.Arm64;

    /// <remarks>Variadic in C; see <see cref="mremap"/>.</remarks>
    [LibraryImport(libc, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int open(string path, int flags, uint mode = 0);

    /// <remarks>Variadic in C; see <see cref="mremap"/>.</remarks>
    [LibraryImport(libc, SetLastError = true)]
    public static partial int fcntl(int fd, int cmd, nint arg = 0);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int fallocate(int fd, int mode, long offset, long length);

    /// <returns>0 or a positive errno; <see cref="errno"/> is not set.</returns>
    [LibraryImport(libc)]
    public static partial int posix_fadvise(int fd, long offset, long length, int advice);
}
