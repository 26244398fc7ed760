using VhostUser.Protocol;

namespace VhostUser.Session;

/// <summary>What a back-end offers to its front-ends. The defaults suit QEMU, DPDK, Cloud Hypervisor and SPDK.</summary>
public sealed class SessionOptions
{
    /// <summary>VIRTIO_F_RING_PACKED.</summary>
    public bool PackedRings { get; init; } = true;

    /// <summary>VIRTIO_F_EVENT_IDX.</summary>
    public bool EventIdx { get; init; } = true;

    /// <summary>VIRTIO_F_INDIRECT_DESC.</summary>
    public bool IndirectDescriptors { get; init; } = true;

    /// <summary>VIRTIO_F_IN_ORDER.</summary>
    public bool InOrder { get; init; } = true;

    /// <summary>VIRTIO_F_RING_RESET.</summary>
    public bool RingReset { get; init; } = true;

    /// <summary>VIRTIO_F_NOTIFICATION_DATA: a front-end that takes it out of the kick itself needs nothing from here.</summary>
    public bool NotificationData { get; init; } = true;

    /// <summary>VIRTIO_F_ACCESS_PLATFORM with an IOTLB: a guest behind a virtual IOMMU. Costs a look-up per buffer.</summary>
    public bool AccessPlatform { get; init; }

    /// <summary>Kicks and calls as messages. Off, because QEMU acknowledges the bit without doing it.</summary>
    public bool InbandNotifications { get; init; }

    /// <summary>Post-copy migration; offered only where the kernel permits userfaultfd.</summary>
    public bool Postcopy { get; init; } = true;

    /// <summary>Protocol features that are not offered although they could be.</summary>
    public ProtocolFeatures WithoutProtocolFeatures { get; init; }

    /// <summary>
    /// How long a ring that is to stop waits for the device's requests before the front-end is given up (its connection
    /// ends). <see cref="Timeout.InfiniteTimeSpan"/> to hold it for as long as the device takes.
    /// </summary>
    public TimeSpan StopTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// Refuse files (guest memory, dirty log, in-flight region) that their owner could still cut short: whoever touches
    /// what is gone gets SIGBUS, which ends the process. For daemons that serve front-ends which do not trust each other.
    /// Memory of memfds passes, with huge pages too (QEMU: memory-backend-memfd); files of hugetlbfs or tmpfs do not.
    /// </summary>
    public bool RequireSealedMemory { get; init; }

    /// <summary>Memory regions at most, and the answer to GET_MAX_MEM_SLOTS.</summary>
    public int MaxMemorySlots { get; init; } = 509;
}
