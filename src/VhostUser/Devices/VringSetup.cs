using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using VhostXen.Linux;

namespace VhostUser.Devices;

/// <summary>Everything a worker needs to run a ring; made by the session once the ring may start.</summary>
internal sealed record VringSetup
{
    public required VirtqueueLayout Layout { get; init; }

    /// <summary>Negotiated features: ring form, EVENT_IDX, INDIRECT_DESC, IN_ORDER...</summary>
    public required ulong Features { get; init; }

    /// <summary>Where to go on, as SET_VRING_BASE encodes it.</summary>
    public required uint Base { get; init; }

    public required GuestMemoryMap Memory { get; init; }

    /// <summary>Kicks; null where the ring is polled or kicked in band.</summary>
    public EventFd? Kick { get; init; }

    public EventFd? Call { get; init; }

    public EventFd? Error { get; init; }

    /// <summary>In-band call, used where there is no eventfd (INBAND_NOTIFICATIONS).</summary>
    public Action? InBandCall { get; init; }

    /// <summary>In-band error, where there is no error eventfd.</summary>
    public Action? InBandError { get; init; }

    /// <summary>Kicks come as messages (VHOST_USER_VRING_KICK): the ring is not polled for want of an eventfd.</summary>
    public bool InBandKicks { get; init; }

    public bool Enabled { get; init; }

    public DirtyLog? Log { get; init; }

    /// <summary>Log ring writes (VHOST_VRING_F_LOG) and buffers (VHOST_F_LOG_ALL).</summary>
    public bool LogBuffers { get; init; }

    /// <summary>This queue's part of the in-flight region, or null.</summary>
    public InflightQueueRegion? Inflight { get; init; }

    /// <summary>Address translation under VIRTIO_F_ACCESS_PLATFORM, or null.</summary>
    public Iotlb? Iotlb { get; init; }

    /// <summary>VIRTIO_F_RING_PACKED.</summary>
    public bool IsPacked => (Features & VirtioFeatures.RingPacked) != 0;
}
