using System.Runtime.InteropServices;

namespace VhostXen.Linux;

[CStruct(header: "time.h")]
public struct timespec
{
    public long tv_sec;
    public long tv_nsec;
}

[CStruct(header: "linux/time_types.h")]
public struct __kernel_timespec
{
    public long tv_sec;
    public long tv_nsec;
}

[CStruct(header: "sys/time.h")]
public struct timeval
{
    public long tv_sec;
    public long tv_usec;
}

[CHeader("time.h")]
public static unsafe partial class LibC
{
    public const int CLOCK_REALTIME = 0;
    public const int CLOCK_MONOTONIC = 1;
    public const int CLOCK_PROCESS_CPUTIME_ID = 2;
    public const int CLOCK_THREAD_CPUTIME_ID = 3;

    [LibraryImport(libc, SetLastError = true)]
    public static partial int clock_gettime(int clock, timespec* time);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int nanosleep(timespec* time, timespec* remaining);
}
