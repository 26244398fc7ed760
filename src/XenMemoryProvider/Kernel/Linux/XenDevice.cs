using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Kernel.Linux;

/// <summary>Opening Xen's devices and calling them.</summary>
internal static unsafe class XenDevice
{
    /// <summary>Opens the first of the paths that is there.</summary>
    /// <exception cref="XenException">None is, or the errno of open.</exception>
    internal static FileDescriptor Open(string module, int flags, params ReadOnlySpan<string> paths)
    {
        for (int i = 0; ; i++)
        {
            try
            {
                return FileDescriptor.Open(paths[i], flags);
            }
            catch (SystemCallException e) when (IsAbsent(e.Error))
            {
                if (i == paths.Length - 1)
                    throw new XenException($"open {paths[0]}", null, e.Error, $"Is this a Xen domain with the module {module} loaded?");
            }
            catch (SystemCallException e)
            {
                throw new XenException(e.Call, null, e.Error);
            }
        }
    }

    internal static bool IsAbsent(int error) => error is ENOENT or ENXIO or ENODEV;

    /// <summary>ioctl. None of these devices' calls is interrupted by signals.</summary>
    /// <returns>0 or more, or a negative errno.</returns>
    internal static int Ioctl(FileDescriptor device, uint request, void* argument)
    {
        using FileDescriptor.Borrowed fd = device.Borrow();
        int result = ioctl(fd.Value, request, argument);
        return result >= 0 ? result : -errno;
    }

    /// <summary>Reserves the VMA that a device will fill.</summary>
    /// <exception cref="XenException">The errno of mmap.</exception>
    internal static MappedMemory Map(FileDescriptor device, string call, ushort? domid, ulong offset, nuint length, int prot)
    {
        try
        {
            return MappedMemory.Map(device, offset, length, prot, MAP_SHARED);
        }
        catch (SystemCallException e)
        {
            throw new XenException($"mmap for {call}", domid, e.Error);
        }
    }
}
