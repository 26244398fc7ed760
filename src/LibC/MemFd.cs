using static VhostXen.Linux.LibC;

namespace VhostXen.Linux;

/// <summary>Anonymous files that can be shared by passing their descriptor.</summary>
public static class MemFd
{
    /// <param name="name">Shown in /proc; need not be unique.</param>
    /// <param name="length">In bytes; the file reads as zeroes.</param>
    /// <param name="seals">F_SEAL_ flags. SHRINK keeps a peer from truncating what others have mapped, which would kill them by SIGBUS.</param>
    /// <exception cref="SystemCallException">The errno of memfd_create, ftruncate or fcntl.</exception>
    public static FileDescriptor Create(string name, ulong length, int seals = 0)
    {
        FileDescriptor file = FileDescriptor.FromResult(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create");
        try
        {
            if (length > long.MaxValue)
                throw new SystemCallException("ftruncate", EFBIG);
            if (ftruncate(file.Value, (long)length) < 0)
                throw SystemCallException.FromErrno("ftruncate");
            if (seals != 0)
                AddSeals(file, seals);
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <exception cref="SystemCallException">EPERM: sealed against more seals; EINVAL: not a memfd.</exception>
    public static void AddSeals(FileDescriptor file, int seals)
    {
        using FileDescriptor.Borrowed fd = file.Borrow();
        if (fcntl(fd.Value, F_ADD_SEALS, seals) < 0)
            throw SystemCallException.FromErrno("fcntl F_ADD_SEALS");
    }

    /// <summary>The F_SEAL_ flags of a file; -EINVAL where it cannot have any (not a memfd).</summary>
    public static int GetSeals(FileDescriptor file)
    {
        using FileDescriptor.Borrowed fd = file.Borrow();
        int seals = fcntl(fd.Value, F_GET_SEALS);
        return seals >= 0 ? seals : -errno;
    }
}
