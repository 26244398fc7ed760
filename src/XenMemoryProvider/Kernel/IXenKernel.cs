namespace XenMemoryProvider.Kernel;

/// <summary>
/// A way to reach a Xen: the devices of this machine (<see cref="LinuxXenKernel"/>) or a user-space Xen behind a socket.
/// Every Open is an open of a device file: it has its own state, its own restriction, and its own lifetime.
/// Open one set per guest: then a restriction fits, and disposing the set gives back what the guest used.
/// </summary>
public interface IXenKernel
{
    /// <summary>/dev/xen/privcmd: foreign memory, resources, device-model operations, hypercalls.</summary>
    /// <exception cref="XenException">ENOENT: not a Xen domain, or the module is not loaded; EACCES.</exception>
    IPrivcmd OpenPrivcmd();

    /// <summary>/dev/xen/gntdev: maps and copies what other domains granted.</summary>
    /// <exception cref="XenException">As <see cref="OpenPrivcmd"/>.</exception>
    IGntdev OpenGntdev();

    /// <summary>/dev/xen/gntalloc: grants pages of this domain to others.</summary>
    /// <exception cref="XenException">As <see cref="OpenPrivcmd"/>.</exception>
    IGntalloc OpenGntalloc();

    /// <summary>/dev/xen/evtchn: event channels.</summary>
    /// <exception cref="XenException">As <see cref="OpenPrivcmd"/>.</exception>
    IEvtchn OpenEvtchn();

    /// <summary>A connection to xenstore: messages of <see cref="Abi.Xenstore"/> in both directions. The caller disposes it.</summary>
    /// <exception cref="XenException">As <see cref="OpenPrivcmd"/>; ECONNREFUSED: the daemon is not running.</exception>
    Stream OpenXenstore();
}
