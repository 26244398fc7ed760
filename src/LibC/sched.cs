using System.Runtime.InteropServices;

namespace VhostXen.Linux;

[CHeader("sched.h")]
public static unsafe partial class LibC
{
    /// <param name="tid">0 is the calling thread.</param>
    /// <param name="size">Of the mask, in bytes; a multiple of 8.</param>
    /// <param name="mask">Bit n is CPU n.</param>
    [LibraryImport(libc, SetLastError = true)]
    public static partial int sched_setaffinity(int tid, nuint size, ulong* mask);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int sched_getaffinity(int tid, nuint size, ulong* mask);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int sched_yield();
}
