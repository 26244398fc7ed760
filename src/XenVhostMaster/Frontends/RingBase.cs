using VhostUser.Protocol;
using XenVhostMaster.Transports;

namespace XenVhostMaster.Frontends;

/// <summary>Where a back-end goes on in a ring, as SET_VRING_BASE encodes it.</summary>
internal static class RingBase
{
    // Position 0, both wrap counters 1: how a driver sets a packed ring up (virtio 1.3, 2.8.1).
    private const uint PackedStart = 0x8000_8000;

    private const int UsedIndexOffset = 2;

    /// <summary>A ring that the driver has just set up.</summary>
    public static uint Fresh(ulong features) => IsPacked(features) ? PackedStart : 0;

    /// <summary>
    /// A ring whose back-end died. A split ring tells by its used index: everything before it is done. What came after it and
    /// is done all the same, the in-flight region tells the next back-end, and a packed ring's position as well.
    /// </summary>
    /// <param name="started">The dead one had it.</param>
    /// <returns>Null where nothing tells: a packed ring without an in-flight region.</returns>
    public static uint? Recovered(ulong features, QueueState queue, bool started, bool hasInflight, IGuestSide guest)
    {
        if (IsPacked(features))
            return hasInflight || !started ? PackedStart : null;

        return guest.ReadUInt16(queue.Device + UsedIndexOffset);
    }

    private static bool IsPacked(ulong features) => (features & VirtioFeatures.RingPacked) != 0;
}
