namespace VhostUser.Queues;

/// <summary>
/// Holds completions back until their turn, where IN_ORDER is negotiated: chains are used in the order in which
/// they were made available, however the device finishes them. Every chain gets a used entry of its own; the
/// standard's one-entry-per-batch form would lose the lengths of all but the last.
/// </summary>
internal sealed class InOrderUsed
{
    private readonly Entry[] _entries;
    private uint _next;
    private uint _popped;

    /// <param name="size">Chains that may be out at once, at most.</param>
    public InOrderUsed(int size) => _entries = new Entry[size];

    public void Popped(DescriptorChain chain)
    {
        chain.Sequence = _popped++;
        _entries[chain.Sequence % (uint)_entries.Length] = default;
    }

    public void Unpopped() => _popped--;

    public void Complete(DescriptorChain chain, uint written)
        => _entries[chain.Sequence % (uint)_entries.Length] = new Entry(chain.Id, chain.Slots, chain.InflightSlot, written, Done: true);

    /// <summary>The next chain whose turn has come.</summary>
    public bool TryNext(out Entry entry)
    {
        entry = default;
        if (_next == _popped)
            return false;

        ref Entry slot = ref _entries[_next % (uint)_entries.Length];
        if (!slot.Done)
            return false;

        entry = slot;
        slot = default;
        _next++;
        return true;
    }

    internal readonly record struct Entry(ushort Id, ushort Slots, ushort InflightSlot, uint Written, bool Done);
}
