using System.Runtime.CompilerServices;
using VhostUser.Memory;
using VhostUser.Protocol;

namespace VhostUser.Queues;

/// <summary>
/// One chain of descriptors, copied out of the ring and checked: bounded in number, readable ones before
/// writable ones, no loop, no more than 4 GiB. An object is used again for chain after chain and grows to the
/// longest seen.
/// </summary>
public sealed class DescriptorChain
{
    private GuestRange[] _ranges = new GuestRange[8];
    private ulong _length;
    private bool _writable;

    /// <summary>Head index (split ring) or buffer id (packed ring): what goes into the used entry.</summary>
    public ushort Id { get; internal set; }

    /// <summary>Ring slots the chain takes: 1 for an indirect chain, otherwise its length.</summary>
    public ushort Slots { get; internal set; }

    /// <summary>Where the ring keeps what it needs to undo or record this chain (in-flight slot).</summary>
    internal ushort InflightSlot { get; set; }

    /// <summary>Position among all chains popped, under IN_ORDER.</summary>
    internal uint Sequence { get; set; }

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
        _length = 0;
        _writable = false;
    }

    /// <summary>Adds a buffer.</summary>
    /// <returns>Why the driver may not have it there, or null.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal string? TryAdd(ulong address, uint length, bool writable)
    {
        _length += length;
        if ((_writable && !writable) || _length > 1UL << 32)
            return Refuse();

        _writable = writable;
        if (Count == _ranges.Length)
            Grow();

        _ranges[Count++] = new GuestRange(new GuestAddress(address), length, writable);
        return null;
    }

    // virtio 1.3, 2.7.4.2 and 2.7.5 (split), 2.8.5 and 2.8.6 (packed).
    private string Refuse() => _length > 1UL << 32
        ? "a chain describes more than 4 GiB"
        : "a device-readable buffer comes after a device-writable one";

    private void Grow() => Array.Resize(ref _ranges, Count * 2);
}
