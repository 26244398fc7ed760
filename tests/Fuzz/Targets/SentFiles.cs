using Fuzz.Engine;
using TestKit;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Fuzz.Targets;

/// <summary>Descriptors of every kind for one session, right and wrong ones. Made when first wanted, closed with the session.</summary>
internal sealed class SentFiles(TestMemory memory, FileDescriptor socket) : IDisposable
{
    private readonly List<FileDescriptor> _mine = [];

    /// <summary>The other ends of channels that were sent.</summary>
    public List<FileDescriptor> Channels { get; } = [];

    /// <summary>The other ends of pipes that were sent.</summary>
    public List<FileDescriptor> Pipes { get; } = [];

    /// <summary>Eventfds that were sent.</summary>
    public List<EventFd> Events { get; } = [];

    /// <summary>Files that can be cut short after they were sent.</summary>
    public List<FileDescriptor> Files { get; } = [];

    public FileDescriptor Event()
    {
        EventFd made = EventFd.Create();
        Events.Add(made);
        return made.Handle;
    }

    public FileDescriptor Channel()
    {
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair(SOCK_NONBLOCK);
        Channels.Add(ours);
        return Mine(theirs);
    }

    public unsafe FileDescriptor Pipe(bool read)
    {
        int* ends = stackalloc int[2];
        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
            throw SystemCallException.FromErrno("pipe2");

        Pipes.Add(new FileDescriptor(ends[read ? 1 : 0]));
        return Mine(new FileDescriptor(ends[read ? 0 : 1]));
    }

    public FileDescriptor File(ulong length)
    {
        FileDescriptor file = MemFd.Create("fuzz", Math.Min(length, 1UL << 40));
        Files.Add(file);
        return file;
    }

    /// <summary>Any kind at all.</summary>
    public FileDescriptor Any(FuzzInput input, IReadOnlyList<FileDescriptor> received) => input.Below(12) switch
    {
        0 => memory.File,
        1 => Event(),
        2 => File(input.Number(0x10000)),
        3 => Pipe(read: true),
        4 => Pipe(read: false),
        5 => Channel(),
        6 => received.Count != 0 ? received[input.Below(received.Count)] : memory.File,
        7 => Mine(FileDescriptor.Open("/dev/zero", O_RDWR)),
        8 => Mine(FileDescriptor.Open("/proc/self", O_RDONLY)),
        9 => Mine(FileDescriptor.Open("/proc/self/status", O_RDONLY)),
        10 => socket,
        _ => Mine(FileDescriptor.FromResult(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
    };

    public void Dispose()
    {
        foreach (FileDescriptor fd in _mine.Concat(Channels).Concat(Pipes).Concat(Files))
            fd.Dispose();

        Events.ForEach(static fd => fd.Dispose());
    }

    private FileDescriptor Mine(FileDescriptor fd)
    {
        _mine.Add(fd);
        return fd;
    }
}
