using XenMemoryProvider.Kernel.Linux;
using XenMemoryProvider.Kernel.Sockets;

namespace XenMemoryProvider.Kernel;

/// <summary>Chooses the way to a Xen from a word of the command line.</summary>
public static class XenKernels
{
    /// <summary>This machine's Xen if it is one and its devices may be opened; else none.</summary>
    public const string Auto = "auto";

    /// <summary>No Xen.</summary>
    public const string Off = "off";

    /// <summary>This machine's Xen, or an error that says what is missing.</summary>
    public const string Devices = "devices";

    /// <summary>Before a path: the user-space Xen that listens there.</summary>
    public const string ModelPrefix = "xen-model:";

    /// <summary>What the words mean, for a help text.</summary>
    public const string Help = "auto, off, devices (/dev/xen) or xen-model:SOCKET";

    /// <param name="how">One of the words above.</param>
    /// <param name="ignored">With <see cref="Auto"/>: told why devices that are there cannot be opened.</param>
    /// <returns>Null: no Xen.</returns>
    /// <exception cref="XenException">It cannot be reached.</exception>
    /// <exception cref="ArgumentException">No such word.</exception>
    public static IXenKernel? Open(string how, Action<XenException>? ignored = null)
    {
        if (how.StartsWith(ModelPrefix, StringComparison.Ordinal))
        {
            var model = new SocketXenKernel(how[ModelPrefix.Length..]);
            model.OpenPrivcmd().Dispose();
            return model;
        }

        var kernel = new LinuxXenKernel();
        switch (how)
        {
            case Off:
                return null;
            case Devices:
                kernel.OpenPrivcmd().Dispose();
                return kernel;
            case Auto:
                try
                {
                    kernel.OpenPrivcmd().Dispose();
                    return kernel;
                }
                catch (XenException e)
                {
                    if (!XenDevice.IsAbsent(e.Errno)) ignored?.Invoke(e);
                    return null;
                }
            default:
                throw new ArgumentException($"\"{how}\" is no way to reach a Xen: {Help}.");
        }
    }
}
