using System.Runtime.InteropServices;

namespace VhostXen.Linux;

[CStruct(header: "sys/uio.h")]
public unsafe struct iovec
{
    public void* iov_base;
    public nuint iov_len;
}

[CHeader("sys/uio.h")]
public static unsafe partial class LibC
{
    /// <summary>The largest number of iovecs one call takes.</summary>
    [CConstant(header: "limits.h")]
    public const int IOV_MAX = 1024;

    public const int RWF_HIPRI = 0x1;
    public const int RWF_DSYNC = 0x2;
    public const int RWF_SYNC = 0x4;
    public const int RWF_NOWAIT = 0x8;
    public const int RWF_APPEND = 0x10;

    [LibraryImport(libc, SetLastError = true)]
    public static partial nint readv(int fd, iovec* iov, int iovcnt);

    [LibraryImport(libc, SetLastError = true)]
    public static partial nint writev(int fd, iovec* iov, int iovcnt);

    [LibraryImport(libc, SetLastError = true)]
    public static partial nint preadv(int fd, iovec* iov, int iovcnt, long offset);

    [LibraryImport(libc, SetLastError = true)]
    public static partial nint pwritev(int fd, iovec* iov, int iovcnt, long offset);

    [LibraryImport(libc, SetLastError = true)]
    public static partial nint preadv2(int fd, iovec* iov, int iovcnt, long offset, int flags);

    [LibraryImport(libc, SetLastError = true)]
    public static partial nint pwritev2(int fd, iovec* iov, int iovcnt, long offset, int flags);
}
