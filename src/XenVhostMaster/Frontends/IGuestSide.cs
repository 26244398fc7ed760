using VhostUser.Session;

namespace XenVhostMaster.Frontends;

/// <summary>What a device's connection needs of its guest.</summary>
internal interface IGuestSide
{
    /// <summary>Runs something on the guest's I/O thread, later.</summary>
    void Post(Action action);

    /// <summary>The guest's memory as regions for one back-end; the caller disposes their descriptors.</summary>
    IReadOnlyList<FrontendRegion> ForeignRegions();

    /// <summary>Everything that the guest may grant, with the pages of these rings mapped in advance.</summary>
    /// <param name="rings">Addresses as the driver wrote them, and bytes.</param>
    IReadOnlyList<FrontendRegion> GrantRegions(IReadOnlyList<(ulong Start, ulong Length)> rings);

    /// <summary>Reads guest memory, a few bytes within one page.</summary>
    /// <param name="address">Guest address, or with bit 63 a grant.</param>
    /// <exception cref="IOException">There is nothing.</exception>
    ushort ReadUInt16(ulong address);

    /// <summary>
    /// Signals an eventfd when the guest's request has been answered, so that the virtual CPU does not wait for it. On the I/O
    /// thread, from within a request.
    /// </summary>
    void SignalAfterReply(VhostXen.Linux.EventFd fd);

    /// <summary>Waits on the I/O thread for an eventfd, and calls the handler there.</summary>
    void Watch(VhostXen.Linux.EventFd fd, Action handler);

    void Unwatch(VhostXen.Linux.EventFd fd);
}
