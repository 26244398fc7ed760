using System.Runtime.InteropServices;

namespace VhostXen.Linux;

[CHeader("signal.h")]
public static unsafe partial class LibC
{
    public const int SIGHUP = 1;
    public const int SIGINT = 2;
    public const int SIGKILL = 9;
    public const int SIGTERM = 15;
    public const int SIGCONT = 18;
    public const int SIGSTOP = 19;

    [LibraryImport(libc, SetLastError = true)]
    public static partial int kill(int pid, int signal);
}
