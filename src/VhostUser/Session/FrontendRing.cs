using VhostUser.Protocol;
using VhostXen.Linux;

namespace VhostUser.Session;

/// <summary>One ring as a front-end sets it up. The caller keeps the eventfds.</summary>
public sealed record FrontendRing
{
    public required int Index { get; init; }

    /// <summary>Entries.</summary>
    public required int Size { get; init; }

    /// <summary>Descriptor table, or packed ring, in the address space that the session uses (user, or guest under GPA_ADDRESSES and XEN_MMAP).</summary>
    public required FrontendAddress Descriptors { get; init; }

    /// <summary>Available ring, or driver event suppression.</summary>
    public required FrontendAddress Available { get; init; }

    /// <summary>Used ring, or device event suppression.</summary>
    public required FrontendAddress Used { get; init; }

    /// <summary>Signalled by the front-end; null for a ring that the back-end polls.</summary>
    public EventFd? Kick { get; init; }

    /// <summary>Signalled by the back-end; null for no interrupts.</summary>
    public EventFd? Call { get; init; }

    /// <summary>Signalled by the back-end when the ring is broken.</summary>
    public EventFd? Error { get; init; }

    /// <summary>Where to go on, as SET_VRING_BASE encodes it.</summary>
    public uint Base { get; init; }

    /// <summary>Where used-ring writes are logged during a migration; null for no logging.</summary>
    public GuestAddress? LogAddress { get; init; }
}
