using System.Runtime.InteropServices;

namespace VhostXen.Linux;

[CHeader("sys/syscall.h")]
public static unsafe partial class LibC
{
    public const int SYS_io_uring_setup = 425;
    public const int SYS_io_uring_enter = 426;
    public const int SYS_io_uring_register = 427;
    public static int SYS_userfaultfd => IsArm64 ? 282 : 323;

    /// <remarks>Variadic in C; see <see cref="mremap"/>. Unused arguments may be left out.</remarks>
    [LibraryImport(libc, SetLastError = true)]
    public static partial long syscall(long number, nint a = 0, nint b = 0, nint c = 0, nint d = 0, nint e = 0, nint f = 0);
}
