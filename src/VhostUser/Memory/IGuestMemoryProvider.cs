using VhostUser.Protocol;
using VhostXen.Linux;

namespace VhostUser.Memory;

/// <summary>
/// Makes guest memory reachable. This is the one hypervisor-specific thing in a back-end: shared files under
/// KVM, foreign and grant mappings under Xen.
/// </summary>
public interface IGuestMemoryProvider
{
    /// <summary>True when regions with <see cref="XenMmapFlags"/> can be honoured, so that XEN_MMAP may be offered.</summary>
    bool SupportsXenMmap { get; }

    /// <summary>Maps one region, or prepares to map it on demand.</summary>
    /// <param name="region">What the front-end announced, already checked for zero size and overflow.</param>
    /// <param name="fd">The descriptor that came with it. The provider keeps a duplicate if it needs one; the caller closes this one.</param>
    /// <returns>A mapping that the caller owns and disposes once no request uses it.</returns>
    /// <exception cref="GuestMemoryException">The region cannot be mapped; the message says why.</exception>
    RegionMapping Map(in MemoryRegion region, FileDescriptor fd);
}
