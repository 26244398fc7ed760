using System.Runtime.InteropServices;

namespace VhostXen.Linux;

[CStruct(header: "poll.h")]
public struct pollfd
{
    public int fd;
    public short events;
    public short revents;
}

[CHeader("poll.h")]
public static unsafe partial class LibC
{
    public const short POLLIN = 0x1;
    public const short POLLPRI = 0x2;
    public const short POLLOUT = 0x4;
    public const short POLLERR = 0x8;
    public const short POLLHUP = 0x10;
    public const short POLLNVAL = 0x20;
    public const short POLLRDHUP = 0x2000;

    [LibraryImport(libc, SetLastError = true)]
    public static partial int poll(pollfd* fds, nuint count, int timeout);
}
