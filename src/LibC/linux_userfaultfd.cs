using System.Runtime.InteropServices;

namespace VhostXen.Linux;

/// <summary>One event read from a userfaultfd; the fields after reserved3 are those of a page fault.</summary>
[CStruct(header: "linux/userfaultfd.h")]
[StructLayout(LayoutKind.Explicit, Size = 32)]
public struct uffd_msg
{
    [FieldOffset(0)] public byte @event;
    [CField("arg.pagefault.flags")]
    [FieldOffset(8)] public ulong flags;
    [CField("arg.pagefault.address")]
    [FieldOffset(16)] public ulong address;
    [CField("arg.pagefault.feat.ptid")]
    [FieldOffset(24)] public uint ptid;
    [CField("arg.fork.ufd")]
    [FieldOffset(8)] public uint ufd;
    [CField("arg.remove.start")]
    [FieldOffset(8)] public ulong start;
    [CField("arg.remove.end")]
    [FieldOffset(16)] public ulong end;
}

[CStruct(header: "linux/userfaultfd.h")]
public struct uffdio_api
{
    public ulong api;
    public ulong features;
    public ulong ioctls;
}

[CStruct(header: "linux/userfaultfd.h")]
public struct uffdio_range
{
    public ulong start;
    public ulong len;
}

[CStruct(header: "linux/userfaultfd.h")]
public struct uffdio_register
{
    public uffdio_range range;
    public ulong mode;
    public ulong ioctls;
}

[CStruct(header: "linux/userfaultfd.h")]
public struct uffdio_copy
{
    public ulong dst;
    public ulong src;
    public ulong len;
    public ulong mode;
    public long copy;
}

[CStruct(header: "linux/userfaultfd.h")]
public struct uffdio_zeropage
{
    public uffdio_range range;
    public ulong mode;
    public long zeropage;
}

[CStruct(header: "linux/userfaultfd.h")]
public struct uffdio_continue
{
    public uffdio_range range;
    public ulong mode;
    public long mapped;
}

[CHeader("linux/userfaultfd.h")]
public static unsafe partial class LibC
{
    public const ulong UFFD_API = 0xaa;
    public const int UFFD_USER_MODE_ONLY = 1;
    public const nuint UFFDIO_API = 0xc018aa3f;
    public const nuint UFFDIO_REGISTER = 0xc020aa00;
    public const nuint UFFDIO_UNREGISTER = 0x8010aa01;
    public const nuint UFFDIO_WAKE = 0x8010aa02;
    public const nuint UFFDIO_COPY = 0xc028aa03;
    public const nuint UFFDIO_ZEROPAGE = 0xc020aa04;
    public const nuint UFFDIO_CONTINUE = 0xc020aa07;
    public const byte UFFD_EVENT_PAGEFAULT = 0x12;
    public const byte UFFD_EVENT_FORK = 0x13;
    public const byte UFFD_EVENT_REMAP = 0x14;
    public const byte UFFD_EVENT_REMOVE = 0x15;
    public const byte UFFD_EVENT_UNMAP = 0x16;
    public const ulong UFFD_PAGEFAULT_FLAG_WRITE = 1;
    public const ulong UFFD_PAGEFAULT_FLAG_WP = 2;
    public const ulong UFFD_PAGEFAULT_FLAG_MINOR = 4;
    public const ulong UFFD_FEATURE_EVENT_REMOVE = 1 << 3;
    public const ulong UFFD_FEATURE_MISSING_SHMEM = 1 << 5;
    public const ulong UFFD_FEATURE_EVENT_UNMAP = 1 << 6;
    public const ulong UFFD_FEATURE_THREAD_ID = 1 << 8;
    public const ulong UFFDIO_REGISTER_MODE_MISSING = 1;
    public const ulong UFFDIO_COPY_MODE_DONTWAKE = 1;
    public const ulong UFFDIO_ZEROPAGE_MODE_DONTWAKE = 1;

    public static int userfaultfd(int flags) => (int)syscall(SYS_userfaultfd, flags);
}
