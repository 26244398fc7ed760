using System.Runtime.InteropServices;

namespace VhostXen.Linux;

[CHeader("sys/prctl.h")]
public static unsafe partial class LibC
{
    public const int PR_SET_PDEATHSIG = 1;
    public const int PR_SET_DUMPABLE = 4;
    public const int PR_SET_NAME = 15;
    public const int PR_SET_TIMERSLACK = 29;
    public const int PR_SET_NO_NEW_PRIVS = 38;

    /// <remarks>Variadic in C; see <see cref="mremap"/>.</remarks>
    [LibraryImport(libc, SetLastError = true)]
    public static partial int prctl(int option, nint a = 0, nint b = 0, nint c = 0, nint d = 0);
}
