using VhostUser.Memory;

namespace VhostUser.Queues;

/// <summary>
/// One chain of descriptors, copied out of the ring and checked: at most the ring's size of them, readable ones
/// before writable ones, no loop. An object is used again for chain after chain and grows to the longest seen.
/// </summary>
public sealed class DescriptorChain
{
    private GuestRange[] _ranges = new GuestRange[8];

    /// <summary>Head index (split ring) or buffer id (packed ring): what goes into the used entry.</summary>
    public ushort Id { get; internal set; }

    /// <summary>Ring slots the chain takes: 1 for an indirect chain, otherwise its length.</summary>
    public ushort Slots { get; internal set; }

    /// <summary>Where the ring keeps what it needs to undo or record this chain (in-flight slot, IN_ORDER sequence).</summary>
    internal uint RingState { get; set; }

    /// <summary>True when it comes from the in-flight region of a back-end that died.</summary>
    internal bool Resubmitted { get; set; }

    public int Count { get; private set; }

    /// <summary>The buffers in the driver's order.</summary>
    public ReadOnlySpan<GuestRange> Ranges => _ranges.AsSpan(0, Count);

    internal void Clear()
    {
        Count = 0;
        Slots = 0;
        Resubmitted = false;
    }

    internal void Add(in GuestRange range)
    {
        if (Count == _ranges.Length)
            Array.Resize(ref _ranges, Count * 2);

        _ranges[Count++] = range;
    }
}
