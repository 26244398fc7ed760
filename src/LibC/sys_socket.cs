using System.Runtime.InteropServices;

namespace VhostXen.Linux;

[CStruct(header: "sys/socket.h")]
public unsafe struct msghdr
{
    public void* msg_name;
    public uint msg_namelen;
    public iovec* msg_iov;
    public nuint msg_iovlen;
    public void* msg_control;
    public nuint msg_controllen;
    public int msg_flags;
}

[CStruct(header: "sys/socket.h")]
public struct cmsghdr
{
    public nuint cmsg_len;
    public int cmsg_level;
    public int cmsg_type;
}

[CStruct(header: "sys/socket.h")]
public struct ucred
{
    public int pid;
    public uint uid;
    public uint gid;
}

[CHeader("sys/socket.h")]
public static unsafe partial class LibC
{
    public const int AF_UNIX = 1;
    public const int AF_INET = 2;
    public const int AF_PACKET = 17;
    public const int SOCK_STREAM = 1;
    public const int SOCK_DGRAM = 2;
    public const int SOCK_RAW = 3;
    public const int SOCK_SEQPACKET = 5;
    public const int SOCK_NONBLOCK = 0x800;
    public const int SOCK_CLOEXEC = 0x80000;
    public const int SOL_SOCKET = 1;
    public const int SO_TYPE = 3;
    public const int SO_ERROR = 4;
    public const int SO_SNDBUF = 7;
    public const int SO_RCVBUF = 8;
    public const int SO_PASSCRED = 16;
    public const int SO_PEERCRED = 17;
    public const int SO_ACCEPTCONN = 30;
    public const int SO_PROTOCOL = 38;
    public const int SO_DOMAIN = 39;
    public const int SCM_RIGHTS = 1;
    public const int SCM_CREDENTIALS = 2;
    [CConstant(header: "linux/socket.h")]
    public const int SCM_PIDFD = 4;
    public const int MSG_PEEK = 0x2;
    public const int MSG_CTRUNC = 0x8;
    public const int MSG_TRUNC = 0x20;
    public const int MSG_DONTWAIT = 0x40;
    public const int MSG_WAITALL = 0x100;
    public const int MSG_NOSIGNAL = 0x4000;
    public const int MSG_CMSG_CLOEXEC = 0x40000000;
    public const int SHUT_RD = 0;
    public const int SHUT_WR = 1;
    public const int SHUT_RDWR = 2;

    /// <summary>The largest number of descriptors the kernel passes in one message.</summary>
    [NotInC("the kernel's include/net/scm.h, not exported")]
    public const int SCM_MAX_FD = 253;

    [LibraryImport(libc, SetLastError = true)]
    public static partial int socket(int domain, int type, int protocol);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int socketpair(int domain, int type, int protocol, int* fds);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int bind(int fd, void* address, uint length);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int listen(int fd, int backlog);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int accept4(int fd, void* address, uint* length, int flags);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int connect(int fd, void* address, uint length);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int getsockname(int fd, void* address, uint* length);

    [LibraryImport(libc, SetLastError = true)]
    public static partial nint recvmsg(int fd, msghdr* message, int flags);

    [LibraryImport(libc, SetLastError = true)]
    public static partial nint sendmsg(int fd, msghdr* message, int flags);

    [LibraryImport(libc, SetLastError = true)]
    public static partial nint recv(int fd, void* buffer, nuint length, int flags);

    [LibraryImport(libc, SetLastError = true)]
    public static partial nint send(int fd, void* buffer, nuint length, int flags);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int getsockopt(int fd, int level, int name, void* value, uint* length);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int setsockopt(int fd, int level, int name, void* value, uint length);

    [LibraryImport(libc, SetLastError = true)]
    public static partial int shutdown(int fd, int how);

    /// <summary>The macro of this name: rounds up to the alignment of control messages.</summary>
    public static nuint CMSG_ALIGN(nuint length) => (length + (nuint)sizeof(nuint) - 1) & ~((nuint)sizeof(nuint) - 1);

    /// <summary>The macro of this name: the bytes a control message with this payload occupies in the buffer.</summary>
    public static nuint CMSG_SPACE(nuint length) => CMSG_ALIGN((nuint)sizeof(cmsghdr)) + CMSG_ALIGN(length);

    /// <summary>The macro of this name: the value of cmsg_len for this payload.</summary>
    public static nuint CMSG_LEN(nuint length) => CMSG_ALIGN((nuint)sizeof(cmsghdr)) + length;
}
