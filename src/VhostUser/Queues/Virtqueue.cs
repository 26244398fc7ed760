using VhostUser.Memory;
using VhostUser.Protocol;

namespace VhostUser.Queues;

/// <summary>
/// The device's side of one ring. Owned by one worker thread. Everything it reads from the ring is copied once
/// and checked; a driver that breaks the rules breaks its ring, and nothing else, for good.
/// </summary>
internal abstract class Virtqueue
{
    /// <summary>Entries.</summary>
    public abstract int Size { get; }

    /// <summary>Makes the ring that the features ask for. What front-end and driver left in memory never makes it throw.</summary>
    /// <param name="layout">Its memory.</param>
    /// <param name="features">Negotiated features: RING_PACKED, EVENT_IDX, INDIRECT_DESC, IN_ORDER.</param>
    /// <param name="base">Where to go on, as SET_VRING_BASE encodes it; an in-flight region in use knows better.</param>
    /// <param name="inflight">In-flight region, or null; what it holds is popped first.</param>
    /// <exception cref="ArgumentException">
    /// The size is not one that this form of ring can have, or the in-flight region is too short: the caller's mistake.
    /// </exception>
    public static Virtqueue Create(in VirtqueueLayout layout, ulong features, uint @base, InflightQueueRegion? inflight)
    {
        bool packed = (features & VirtioFeatures.RingPacked) != 0;
        if (layout.Size is < 1 or > 32768 || (!packed && !System.Numerics.BitOperations.IsPow2(layout.Size)))
            throw new ArgumentException($"a {(packed ? "packed" : "split")} ring cannot have {layout.Size} entries", nameof(layout));

        return packed
            ? new PackedVirtqueue(layout, features, @base, inflight) { LogAddress = layout.LogAddress }
            : new SplitVirtqueue(layout, features, @base, inflight) { LogAddress = layout.LogAddress };
    }

    /// <summary>Set once when the driver broke the ring; from then on nothing is popped or published.</summary>
    public string? BrokenCause { get; protected set; }

    /// <summary>Chains popped and not yet given back.</summary>
    public int InFlight { get; protected set; }

    /// <summary>Regions to read indirect tables from; swapped by the worker while nothing is being popped.</summary>
    public GuestMemoryMap Memory { get; set; } = GuestMemoryMap.Empty;

    /// <summary>Translates the addresses of indirect tables (ACCESS_PLATFORM), or null. Buffers are the caller's to translate.</summary>
    public Iotlb? Iotlb { get; set; }

    /// <summary>
    /// True when the last <see cref="TryPop"/> answered Empty for want of a translation: the miss has been sent, and
    /// the chain is popped once the ring is looked at again.
    /// </summary>
    public bool WaitsForTranslation { get; protected set; }

    /// <summary>Where ring writes are logged during a migration, or null.</summary>
    public DirtyLog? Log { get; set; }

    /// <summary>The guest address under which writes to the used ring (packed: the descriptor ring) are logged; may lie outside the regions.</summary>
    public GuestAddress? LogAddress { get; set; }

    private protected IndirectTable Indirect { get; } = new();

    /// <summary>Takes the next available chain, requests of a dead predecessor (in-flight region) first.</summary>
    public abstract PopResult TryPop(DescriptorChain chain);

    /// <summary>Puts the chain that was popped last back, as if it had not been popped (its buffers cannot be translated yet).</summary>
    public abstract void Unpop(DescriptorChain chain);

    /// <summary>Gives a chain back to the driver; not visible before <see cref="Publish"/>.</summary>
    /// <param name="chain">A chain popped from this ring.</param>
    /// <param name="written">Bytes written into its writable buffers.</param>
    public abstract void AddUsed(DescriptorChain chain, uint written);

    /// <summary>Makes all chains given back visible at once.</summary>
    /// <returns>True when the driver wants to be notified of them.</returns>
    public abstract bool Publish();

    /// <summary>Asks the driver not to kick: the device is looking anyway.</summary>
    public abstract void SuppressKicks();

    /// <summary>Asks for a kick at the next chain.</summary>
    /// <returns>True when there is already another chain: look again before sleeping.</returns>
    public abstract bool AllowKicks();

    /// <summary>
    /// The ring's position as GET_VRING_BASE encodes it. What is in flight still, or was left by a predecessor and never
    /// popped, lies behind it and stays in the in-flight region.
    /// </summary>
    public abstract uint Base { get; }

    /// <summary>The driver broke its ring; the first cause stays.</summary>
    private protected PopResult Break(string cause)
    {
        BrokenCause ??= cause;
        return PopResult.Broken;
    }
}
