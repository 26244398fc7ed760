using System.Runtime.InteropServices;

namespace VhostXen.Linux;

/// <summary>A submission queue entry. Fields at the same offset are a union: an operation uses one of them.</summary>
[CStruct(header: "linux/io_uring.h")]
[StructLayout(LayoutKind.Explicit, Size = 64)]
public struct io_uring_sqe
{
    [FieldOffset(0)] public byte opcode;
    [FieldOffset(1)] public byte flags;
    [FieldOffset(2)] public ushort ioprio;
    [FieldOffset(4)] public int fd;
    [FieldOffset(8)] public ulong off;
    [FieldOffset(8)] public ulong addr2;
    [FieldOffset(16)] public ulong addr;
    [FieldOffset(24)] public uint len;
    [FieldOffset(28)] public uint rw_flags;
    [FieldOffset(28)] public uint fsync_flags;
    [FieldOffset(28)] public uint poll32_events;
    [FieldOffset(28)] public uint msg_flags;
    [FieldOffset(28)] public uint timeout_flags;
    [FieldOffset(28)] public uint accept_flags;
    [FieldOffset(28)] public uint cancel_flags;
    [FieldOffset(32)] public ulong user_data;
    [FieldOffset(40)] public ushort buf_index;
    [FieldOffset(40)] public ushort buf_group;
    [FieldOffset(42)] public ushort personality;
    [FieldOffset(44)] public uint file_index;
    [FieldOffset(48)] public ulong addr3;
}

/// <summary>A completion queue entry.</summary>
[CStruct(header: "linux/io_uring.h")]
public struct io_uring_cqe
{
    public ulong user_data;

    /// <summary>The result of the operation, or -errno.</summary>
    public int res;
    public uint flags;
}

[CStruct(header: "linux/io_uring.h")]
public struct io_sqring_offsets
{
    public uint head;
    public uint tail;
    public uint ring_mask;
    public uint ring_entries;
    public uint flags;
    public uint dropped;
    public uint array;
    [NotInC("reserved")]
    public uint resv1;
    [NotInC("reserved")]
    public ulong resv2;
}

[CStruct(header: "linux/io_uring.h")]
public struct io_cqring_offsets
{
    public uint head;
    public uint tail;
    public uint ring_mask;
    public uint ring_entries;
    public uint overflow;
    public uint cqes;
    public uint flags;
    [NotInC("reserved")]
    public uint resv1;
    [NotInC("reserved")]
    public ulong resv2;
}

[CStruct(header: "linux/io_uring.h")]
public unsafe struct io_uring_params
{
    public uint sq_entries;
    public uint cq_entries;
    public uint flags;
    public uint sq_thread_cpu;
    public uint sq_thread_idle;
    public uint features;
    public uint wq_fd;
    [NotInC("reserved")]
    private fixed uint resv[3];
    public io_sqring_offsets sq_off;
    public io_cqring_offsets cq_off;
}

[CStruct(header: "linux/io_uring.h")]
public struct io_uring_getevents_arg
{
    public ulong sigmask;
    public uint sigmask_sz;
    public uint pad;
    public ulong ts;
}

[CStruct(header: "linux/io_uring.h")]
public struct io_uring_probe_op
{
    public byte op;
    public byte resv;
    public ushort flags;
    public uint resv2;
}

/// <summary>The head of the answer to IORING_REGISTER_PROBE; ops_len entries of io_uring_probe_op follow.</summary>
[CStruct(header: "linux/io_uring.h")]
public unsafe struct io_uring_probe
{
    public byte last_op;
    public byte ops_len;
    public ushort resv;
    public fixed uint resv2[3];
}

[CStruct(header: "linux/io_uring.h")]
public struct io_uring_files_update
{
    public uint offset;
    public uint resv;
    public ulong fds;
}

[CHeader("linux/io_uring.h")]
public static unsafe partial class LibC
{
    public const byte IOSQE_FIXED_FILE = 1 << 0;
    public const byte IOSQE_IO_DRAIN = 1 << 1;
    public const byte IOSQE_IO_LINK = 1 << 2;
    public const byte IOSQE_IO_HARDLINK = 1 << 3;
    public const byte IOSQE_ASYNC = 1 << 4;
    public const byte IOSQE_CQE_SKIP_SUCCESS = 1 << 6;

    public const uint IORING_SETUP_IOPOLL = 1u << 0;
    public const uint IORING_SETUP_SQPOLL = 1u << 1;
    public const uint IORING_SETUP_CQSIZE = 1u << 3;
    public const uint IORING_SETUP_CLAMP = 1u << 4;
    public const uint IORING_SETUP_R_DISABLED = 1u << 6;
    public const uint IORING_SETUP_SUBMIT_ALL = 1u << 7;
    public const uint IORING_SETUP_COOP_TASKRUN = 1u << 8;
    public const uint IORING_SETUP_TASKRUN_FLAG = 1u << 9;
    public const uint IORING_SETUP_SQE128 = 1u << 10;
    public const uint IORING_SETUP_CQE32 = 1u << 11;
    public const uint IORING_SETUP_SINGLE_ISSUER = 1u << 12;
    public const uint IORING_SETUP_DEFER_TASKRUN = 1u << 13;

    public const byte IORING_OP_NOP = 0;
    public const byte IORING_OP_READV = 1;
    public const byte IORING_OP_WRITEV = 2;
    public const byte IORING_OP_FSYNC = 3;
    public const byte IORING_OP_READ_FIXED = 4;
    public const byte IORING_OP_WRITE_FIXED = 5;
    public const byte IORING_OP_POLL_ADD = 6;
    public const byte IORING_OP_POLL_REMOVE = 7;
    public const byte IORING_OP_TIMEOUT = 11;
    public const byte IORING_OP_TIMEOUT_REMOVE = 12;
    public const byte IORING_OP_ASYNC_CANCEL = 14;
    public const byte IORING_OP_FALLOCATE = 17;
    public const byte IORING_OP_READ = 22;
    public const byte IORING_OP_WRITE = 23;

    public const uint IORING_FSYNC_DATASYNC = 1u << 0;
    public const uint IORING_TIMEOUT_ABS = 1u << 0;
    public const uint IORING_TIMEOUT_ETIME_SUCCESS = 1u << 5;
    public const uint IORING_POLL_ADD_MULTI = 1u << 0;
    public const uint IORING_ASYNC_CANCEL_ALL = 1u << 0;
    public const uint IORING_ASYNC_CANCEL_FD = 1u << 1;
    public const uint IORING_ASYNC_CANCEL_ANY = 1u << 2;

    public const uint IORING_CQE_F_BUFFER = 1u << 0;
    public const uint IORING_CQE_F_MORE = 1u << 1;

    public const long IORING_OFF_SQ_RING = 0;
    public const long IORING_OFF_CQ_RING = 0x8000000;
    public const long IORING_OFF_SQES = 0x10000000;

    public const uint IORING_SQ_NEED_WAKEUP = 1u << 0;
    public const uint IORING_SQ_CQ_OVERFLOW = 1u << 1;
    public const uint IORING_SQ_TASKRUN = 1u << 2;

    public const uint IORING_ENTER_GETEVENTS = 1u << 0;
    public const uint IORING_ENTER_SQ_WAKEUP = 1u << 1;
    public const uint IORING_ENTER_EXT_ARG = 1u << 3;

    public const uint IORING_FEAT_SINGLE_MMAP = 1u << 0;
    public const uint IORING_FEAT_NODROP = 1u << 1;
    public const uint IORING_FEAT_SUBMIT_STABLE = 1u << 2;
    public const uint IORING_FEAT_RW_CUR_POS = 1u << 3;
    public const uint IORING_FEAT_FAST_POLL = 1u << 5;
    public const uint IORING_FEAT_POLL_32BITS = 1u << 6;
    public const uint IORING_FEAT_EXT_ARG = 1u << 8;

    public const uint IORING_REGISTER_BUFFERS = 0;
    public const uint IORING_UNREGISTER_BUFFERS = 1;
    public const uint IORING_REGISTER_FILES = 2;
    public const uint IORING_UNREGISTER_FILES = 3;
    public const uint IORING_REGISTER_EVENTFD = 4;
    public const uint IORING_UNREGISTER_EVENTFD = 5;
    public const uint IORING_REGISTER_FILES_UPDATE = 6;
    public const uint IORING_REGISTER_PROBE = 8;
    public const uint IORING_REGISTER_ENABLE_RINGS = 12;
    public const uint IO_URING_OP_SUPPORTED = 1u << 0;

    // The C library has no wrappers for these three.

    public static int io_uring_setup(uint entries, io_uring_params* parameters) =>
        (int)syscall(SYS_io_uring_setup, (nint)entries, (nint)parameters);

    public static int io_uring_enter(int fd, uint toSubmit, uint minComplete, uint flags, void* arg, nuint argSize) =>
        (int)syscall(SYS_io_uring_enter, fd, (nint)toSubmit, (nint)minComplete, (nint)flags, (nint)arg, (nint)argSize);

    public static int io_uring_register(int fd, uint opcode, void* arg, uint count) =>
        (int)syscall(SYS_io_uring_register, fd, (nint)opcode, (nint)arg, (nint)count);
}
