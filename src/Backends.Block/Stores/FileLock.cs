using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Backends.Block.Stores;

/// <summary>
/// One writer or many readers of an image, by an open-file-description lock on the whole file: it ends with the
/// descriptor, however the process ends, and it collides with the byte locks that QEMU takes on its images.
/// </summary>
internal static unsafe class FileLock
{
    /// <exception cref="StoreException">Somebody else has the file.</exception>
    public static void Take(FileDescriptor file, string path, bool exclusive)
    {
        flock wanted = new() { l_type = exclusive ? F_WRLCK : F_RDLCK, l_whence = SEEK_SET };
        if (fcntl(file.Value, F_OFD_SETLK, (nint)(&wanted)) == 0)
            return;

        // File systems without locks (ENOLCK, EOPNOTSUPP...) serve unlocked, as QEMU's lock=auto does.
        int error = errno;
        if (error is EAGAIN or EACCES)
        {
            throw new StoreException(exclusive
                ? $"{path} is in use: another process or device has it open"
                : $"{path} is in use: another process or device writes it");
        }
    }
}
