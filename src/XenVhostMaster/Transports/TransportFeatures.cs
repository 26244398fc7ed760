using VhostUser.Protocol;

namespace XenVhostMaster.Transports;

/// <summary>Which of a back-end's features a guest gets to see.</summary>
internal static class TransportFeatures
{
    // Bits 24 to 49 belong to rings and transports (virtio 1.3, 2.2); the others to the device type.
    private const ulong Reserved = (1UL << 50) - (1UL << 24);

    private const ulong PassedOn = VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx | VirtioFeatures.RingPacked
        | VirtioFeatures.InOrder | VirtioFeatures.OrderPlatform | VirtioFeatures.NotificationData;

    /// <summary>
    /// What the device type offers, the ring features that need nothing of the transport, and what the transport does by
    /// itself: version 1, and resetting a single queue (GET_VRING_BASE stops one).
    /// </summary>
    /// <param name="backend">As GET_FEATURES answered.</param>
    /// <param name="accessPlatform">Guest addresses are grants, which the driver must be told.</param>
    public static ulong Offer(ulong backend, bool accessPlatform)
        => (backend & (~Reserved | PassedOn)) | VirtioFeatures.Version1 | VirtioFeatures.RingReset
            | (accessPlatform ? VirtioFeatures.AccessPlatform : 0);

    /// <summary>What to set at the back-end for what a driver took.</summary>
    public static ulong Forward(ulong driver)
        => driver & ~(VirtioFeatures.AccessPlatform | VirtioFeatures.RingReset | VirtioFeatures.NotificationData);
}
