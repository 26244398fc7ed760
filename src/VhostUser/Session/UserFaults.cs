using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace VhostUser.Session;

/// <summary>A userfaultfd: the front-end reads our faults in migrated memory from it and fills the pages (post-copy).</summary>
internal sealed unsafe class UserFaults : IDisposable
{
    private const ulong PageMask = 4095;
    private readonly List<uffdio_range> _ranges = [];

    private UserFaults(FileDescriptor file) => File = file;

    /// <summary>Whether this process may have one that also serves faults inside system calls.</summary>
    public static bool IsPermitted { get; } = Probe();

    public FileDescriptor File { get; }

    /// <summary>POSTCOPY_LISTEN has come: memory sent from here on is registered.</summary>
    public bool Listening { get; set; }

    /// <exception cref="SystemCallException">EPERM: vm.unprivileged_userfaultfd is 0 and we have no CAP_SYS_PTRACE.</exception>
    public static UserFaults Open()
    {
        FileDescriptor file = FileDescriptor.FromResult(userfaultfd(O_CLOEXEC | O_NONBLOCK), "userfaultfd");
        var api = new uffdio_api { api = UFFD_API };
        int result = FileIO.Ioctl(file.Value, UFFDIO_API, &api);
        if (result >= 0)
            return new UserFaults(file);

        file.Dispose();
        throw new SystemCallException("UFFDIO_API", -result);
    }

    /// <summary>From now on, a page of this memory that is not there yet is the front-end's to bring.</summary>
    /// <exception cref="SystemCallException">The kernel cannot do it for this kind of memory.</exception>
    public void Register(byte* start, ulong length)
    {
        ulong first = (ulong)start & ~PageMask;
        ulong size = (((ulong)start + length + PageMask) & ~PageMask) - first;

        // Only this process's view of the pages goes; what has arrived in the file stays. A huge page would arrive in one
        // piece and hide that most of it is missing.
        if (madvise((void*)first, (nuint)size, MADV_DONTNEED) < 0)
            throw SystemCallException.FromErrno("madvise MADV_DONTNEED");

        _ = madvise((void*)first, (nuint)size, MADV_NOHUGEPAGE);
        var range = new uffdio_range { start = first, len = size };
        var register = new uffdio_register { range = range, mode = UFFDIO_REGISTER_MODE_MISSING };
        int result = FileIO.Ioctl(File.Value, UFFDIO_REGISTER, &register);
        if (result < 0)
            throw new SystemCallException("UFFDIO_REGISTER", -result);

        _ranges.Add(range);
    }

    /// <summary>Unregisters, which wakes whoever waits in a fault even if the front-end keeps its copy of the file.</summary>
    public void Dispose()
    {
        foreach (uffdio_range range in _ranges)
        {
            uffdio_range copy = range;
            _ = FileIO.Ioctl(File.Value, UFFDIO_UNREGISTER, &copy);
        }

        File.Dispose();
    }

    private static bool Probe()
    {
        try
        {
            Open().Dispose();
            return true;
        }
        catch (SystemCallException)
        {
            return false;
        }
    }
}
