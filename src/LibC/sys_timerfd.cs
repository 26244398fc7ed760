using System.Runtime.InteropServices;

namespace VhostXen.Linux;

[CStruct(header: "sys/timerfd.h")]
public struct itimerspec
{
    public timespec it_interval;
    public timespec it_value;
}

[CHeader("sys/timerfd.h")]
public static unsafe partial class LibC
{
    public const int TFD_NONBLOCK = 0x800;
    public const int TFD_CLOEXEC = 0x80000;
    public const int TFD_TIMER_ABSTIME = 1;

    [LibraryImport(libc, SetLastError = true)]
    public static partial int timerfd_create(int clock, int flags);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int timerfd_settime(int fd, int flags, itimerspec* value, itimerspec* old);
}
