using System.Runtime.InteropServices;

namespace VhostXen.Linux;

[CHeader("sys/ioctl.h")]
[CHeader("linux/fs.h")]
public static unsafe partial class LibC
{
    public const nuint BLKROGET = 0x125e;
    public const nuint BLKSSZGET = 0x1268;
    public const nuint BLKIOMIN = 0x1278;
    public const nuint BLKIOOPT = 0x1279;
    public const nuint BLKPBSZGET = 0x127b;
    public const nuint BLKDISCARD = 0x1277;
    public const nuint BLKZEROOUT = 0x127f;
    public const nuint BLKGETSIZE64 = 0x80081272;
    public const nuint FIONBIO = 0x5421;
    public const nuint FIONREAD = 0x541b;

    /// <remarks>Variadic in C; see <see cref="mremap"/>.</remarks>
    [LibraryImport(libc, SetLastError = true)]
    public static partial int ioctl(int fd, nuint request, void* arg);

    /// <inheritdoc cref="ioctl(int, nuint, void*)"/>
    [LibraryImport(libc, SetLastError = true)]
    public static partial int ioctl(int fd, nuint request, nint arg);
}
