using System.Runtime.InteropServices;

namespace VhostXen.Linux;

[CHeader("unistd.h")]
public static unsafe partial class LibC
{
    public const int SEEK_SET = 0;
    public const int SEEK_CUR = 1;
    public const int SEEK_END = 2;
    public const int SEEK_DATA = 3;
    public const int SEEK_HOLE = 4;
    public const int _SC_PAGESIZE = 30;

    [LibraryImport(libc, SetLastError = true)]
    public static partial int close(int fd);

    [LibraryImport(libc, SetLastError = true)]
    public static partial nint read(int fd, void* buffer, nuint count);

    [LibraryImport(libc, SetLastError = true)]
    public static partial nint write(int fd, void* buffer, nuint count);

    [LibraryImport(libc, SetLastError = true)]
    public static partial nint pread(int fd, void* buffer, nuint count, long offset);

    [LibraryImport(libc, SetLastError = true)]
    public static partial nint pwrite(int fd, void* buffer, nuint count, long offset);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int ftruncate(int fd, long length);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int fsync(int fd);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int fdatasync(int fd);

    [LibraryImport(libc, SetLastError = true)]
    public static partial long lseek(int fd, long offset, int whence);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int pipe2(int* fds, int flags);

    [LibraryImport(libc, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int unlink(string path);

    [LibraryImport(libc, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial nint readlink(string path, byte* buffer, nuint length);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int getpid();

    [LibraryImport(libc)]
    public static partial int getppid();

    [LibraryImport(libc, SetLastError = true)]
    public static partial uint geteuid();

    [LibraryImport(libc, SetLastError = true)]
    public static partial int gettid();

    [LibraryImport(libc, SetLastError = true)]
    public static partial long sysconf(int name);
}
