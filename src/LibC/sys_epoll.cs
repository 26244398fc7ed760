using System.Runtime.InteropServices;

namespace VhostXen.Linux;

/// <summary>
/// One ready descriptor. The layout is that of x86-64, where C packs the struct; <see cref="Epoll"/> converts on
/// architectures that do not.
/// </summary>
[CStruct(header: "sys/epoll.h")]
[StructLayout(LayoutKind.Sequential, Pack = 4)]
public struct epoll_event
{
    public uint events;

    /// <summary>The word given to Add or Modify; the kernel does not look at it.</summary>
    public ulong data;
}

[CHeader("sys/epoll.h")]
public static unsafe partial class LibC
{
    public const int EPOLL_CLOEXEC = 0x80000;
    public const int EPOLL_CTL_ADD = 1;
    public const int EPOLL_CTL_DEL = 2;
    public const int EPOLL_CTL_MOD = 3;
    public const uint EPOLLIN = 0x1;
    public const uint EPOLLPRI = 0x2;
    public const uint EPOLLOUT = 0x4;
    public const uint EPOLLERR = 0x8;
    public const uint EPOLLHUP = 0x10;
    public const uint EPOLLRDHUP = 0x2000;
    public const uint EPOLLEXCLUSIVE = 1u << 28;
    public const uint EPOLLONESHOT = 1u << 30;
    public const uint EPOLLET = 1u << 31;

    [LibraryImport(libc, SetLastError = true)]
    public static partial int epoll_create1(int flags);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int epoll_ctl(int epfd, int op, int fd, void* ev);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int epoll_wait(int epfd, void* events, int maxevents, int timeout);
}
