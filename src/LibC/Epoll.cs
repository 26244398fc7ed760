using System.Runtime.InteropServices;
using static VhostXen.Linux.LibC;

namespace VhostXen.Linux;

/// <summary>Waits for many descriptors. Each has a word of its owner's choosing that comes back with its events.</summary>
public sealed unsafe class Epoll : IDisposable
{
    // C packs epoll_event on x86-64 alone.
    private static readonly bool Packed = RuntimeInformation.ProcessArchitecture == Architecture.X64;

    /// <exception cref="SystemCallException">EMFILE, ENFILE or ENOMEM.</exception>
    public Epoll() => Handle = FileDescriptor.FromResult(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");

    public FileDescriptor Handle { get; }

    /// <param name="events">EPOLL flags.</param>
    /// <exception cref="SystemCallException">EEXIST: already there; EPERM: the file cannot be waited for.</exception>
    public void Add(FileDescriptor fd, uint events, ulong data) => Control(EPOLL_CTL_ADD, fd, events, data);

    /// <exception cref="SystemCallException">ENOENT: not there.</exception>
    public void Modify(FileDescriptor fd, uint events, ulong data) => Control(EPOLL_CTL_MOD, fd, events, data);

    /// <exception cref="SystemCallException">ENOENT: not there.</exception>
    public void Remove(FileDescriptor fd) => Control(EPOLL_CTL_DEL, fd, 0, 0);

    /// <summary>How many entries were filled; 0 when the time is over.</summary>
    /// <param name="timeoutMs">-1 waits for ever, 0 does not wait.</param>
    /// <exception cref="SystemCallException">EBADF and the like: errors of the caller.</exception>
    public int Wait(Span<epoll_event> events, int timeoutMs)
    {
        ArgumentOutOfRangeException.ThrowIfZero(events.Length);
        using FileDescriptor.Borrowed epoll = Handle.Borrow();
        int capacity = Packed ? events.Length : Math.Min(events.Length, 64);
        UnpackedEvent* unpacked = stackalloc UnpackedEvent[Packed ? 1 : capacity];

        // SAFETY: the kernel writes at most capacity entries, which both buffers hold.
        fixed (epoll_event* packed = events)
        {
            var deadline = Deadline.In(timeoutMs);
            int count;
            do
            {
                count = epoll_wait(epoll.Value, Packed ? packed : unpacked, capacity, deadline.LeftMs);
            }
            while (count < 0 && errno == EINTR);

            if (count < 0)
                throw SystemCallException.FromErrno("epoll_wait");
            for (int i = 0; !Packed && i < count; i++)
                packed[i] = new epoll_event { events = unpacked[i].Events, data = unpacked[i].Data };
            return count;
        }
    }

    public void Dispose() => Handle.Dispose();

    private void Control(int op, FileDescriptor target, uint events, ulong data)
    {
        using FileDescriptor.Borrowed epoll = Handle.Borrow();
        using FileDescriptor.Borrowed fd = target.Borrow();
        var packed = new epoll_event { events = events, data = data };
        var unpacked = new UnpackedEvent { Events = events, Data = data };
        if (epoll_ctl(epoll.Value, op, fd.Value, Packed ? &packed : &unpacked) < 0)
            throw SystemCallException.FromErrno("epoll_ctl");
    }

    [NotInC("epoll_event as other architectures lay it out")]
    private struct UnpackedEvent
    {
        public uint Events;
        public ulong Data;
    }
}
