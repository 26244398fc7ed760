using System.Runtime.InteropServices;

namespace VhostXen.Linux;

[CStruct(header: "sys/resource.h")]
public struct rusage
{
    public timeval ru_utime;
    public timeval ru_stime;
    /// <summary>In KiB.</summary>
    public long ru_maxrss;
    public long ru_ixrss;
    public long ru_idrss;
    public long ru_isrss;
    public long ru_minflt;
    public long ru_majflt;
    public long ru_nswap;
    public long ru_inblock;
    public long ru_oublock;
    public long ru_msgsnd;
    public long ru_msgrcv;
    public long ru_nsignals;
    public long ru_nvcsw;
    public long ru_nivcsw;
}

[CStruct(header: "sys/resource.h")]
public struct rlimit
{
    public ulong rlim_cur;
    public ulong rlim_max;
}

[CHeader("sys/resource.h")]
public static unsafe partial class LibC
{
    public const int RUSAGE_SELF = 0;
    public const int RUSAGE_THREAD = 1;
    public const int RLIMIT_NOFILE = 7;
    public const int RLIMIT_MEMLOCK = 8;

    [LibraryImport(libc, SetLastError = true)]
    public static partial int getrusage(int who, rusage* usage);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int getrlimit(int resource, rlimit* limit);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int setrlimit(int resource, rlimit* limit);
}
