using VhostXen.Linux;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

namespace XenVhostMaster.Domains;

/// <summary>
/// Descriptors that travel with memory regions. Our back-ends open Xen's devices themselves and ignore them; others
/// (rust-vmm) map through them. So each is an open of the real device, and no more of Xen than the one guest.
/// </summary>
internal static unsafe class RegionFile
{
    /// <exception cref="SystemCallException">The device cannot be opened.</exception>
    public static FileDescriptor Open(IXenKernel kernel, ushort domid, bool grant)
    {
        if (kernel is not LinuxXenKernel)
            return MemFd.Create("xen-region", 0);

        FileDescriptor file = FileDescriptor.Open(grant ? "/dev/xen/gntdev" : "/dev/xen/privcmd", O_RDWR);
        if (!grant)
        {
            using FileDescriptor.Borrowed fd = file.Borrow();
            if (ioctl(fd.Value, XenMemoryProvider.Abi.Privcmd.IoctlRestrict, &domid) < 0 && errno != ENOTTY)
            {
                var error = SystemCallException.FromErrno("IOCTL_PRIVCMD_RESTRICT");
                file.Dispose();
                throw error;
            }
        }

        return file;
    }
}
