using System.Runtime.CompilerServices;
using VhostUser.Protocol;

namespace VhostUser.Queues;

/// <summary>
/// The device's side of a split ring (virtio 1.3, 2.7): descriptor table, available ring, used ring.
/// This half takes chains; SplitVirtqueue.Used.cs gives them back.
/// </summary>
/// <remarks>
/// SAFETY: the three pointers come from <see cref="VirtqueueLayout"/>, each good for the ring's size; every index
/// is masked (available and used ring) or compared with the size (descriptor table) before it is used.
/// Little-endian hosts only: ring fields are little-endian and read as they are.
/// </remarks>
internal sealed unsafe partial class SplitVirtqueue : Virtqueue
{
    private readonly byte* _descriptors;
    private readonly ushort* _availFlags;
    private readonly ushort* _availIndex;
    private readonly ushort* _availRing;
    private readonly ushort* _usedEvent;
    private readonly byte* _used;
    private readonly ushort* _usedFlags;
    private readonly ushort* _usedIndex;
    private readonly byte* _usedRing;
    private readonly ushort* _availEvent;
    private readonly int _size;
    private readonly uint _mask;
    private readonly bool _eventIndex;
    private readonly bool _indirect;
    private readonly bool[] _busy;
    private readonly InOrderUsed? _order;
    private readonly SplitInflight? _inflight;

    // Free-running indices, as in the ring: next to pop, last seen of the driver's, next used entry, last published.
    private ushort _nextAvail;
    private ushort _seenAvail;
    private ushort _nextUsed;
    private ushort _published;
    private bool _everPublished;
    private bool _kicksSuppressed;

    // Popped and not yet published.
    private int _outstanding;

    public SplitVirtqueue(in VirtqueueLayout layout, ulong features, uint @base, InflightQueueRegion? inflight)
    {
        _size = layout.Size;
        _mask = (uint)_size - 1;
        _descriptors = layout.Descriptors;
        _availFlags = (ushort*)layout.Driver;
        _availIndex = _availFlags + 1;
        _availRing = _availFlags + 2;
        _usedEvent = _availRing + _size;
        _used = layout.Device;
        _usedFlags = (ushort*)_used;
        _usedIndex = _usedFlags + 1;
        _usedRing = _used + 4;
        _availEvent = (ushort*)(_usedRing + (8 * _size));
        _eventIndex = (features & VirtioFeatures.EventIdx) != 0;
        _indirect = (features & VirtioFeatures.IndirectDesc) != 0;
        _order = (features & VirtioFeatures.InOrder) != 0 ? new InOrderUsed(_size) : null;
        _busy = new bool[_size];

        // The used index is the ring's own: nobody sends it. With nothing in flight it equals the base.
        _nextUsed = _published = Volatile.Read(ref *_usedIndex);
        _nextAvail = _seenAvail = (ushort)@base;
        _kicksSuppressed = (Volatile.Read(ref *_usedFlags) & NoNotify) != 0;
        if (inflight is not null)
        {
            _inflight = new SplitInflight(inflight, _size);
            Recover(_inflight);
        }
    }

    public override int Size => _size;

    public override uint Base => _nextAvail;

    public override PopResult TryPop(DescriptorChain chain)
    {
        WaitsForTranslation = false;
        if (BrokenCause is not null)
            return PopResult.Broken;

        if (_inflight is { HasResubmits: true })
            return PopResubmit(chain, _inflight);

        if (_nextAvail == _seenAvail && !TryLookForMore())
            return BrokenCause is null ? PopResult.Empty : PopResult.Broken;

        ushort head = Volatile.Read(ref _availRing[_nextAvail & _mask]);
        PopResult result = TryTake(chain, head);
        if (result == PopResult.Chain)
        {
            _nextAvail++;
            _inflight?.Popped(head);
        }

        return result;
    }

    public override void Unpop(DescriptorChain chain)
    {
        _busy[chain.Id] = false;
        _order?.Unpopped();
        _outstanding--;
        InFlight--;
        if (chain.Resubmitted)
        {
            _inflight!.Unrepopped();
            return;
        }

        _nextAvail--;
        _inflight?.Unpopped(chain.Id);
    }

    /// <summary>Chains that were popped and are not used lie between used index and next available one: so many are to be popped again.</summary>
    private void Recover(SplitInflight inflight)
    {
        if (!inflight.Recover(_published, out int popped, out string? cause))
            return;

        if (cause is not null)
            Break(cause);

        _nextAvail = _seenAvail = (ushort)(_published + popped);
    }

    private PopResult PopResubmit(DescriptorChain chain, SplitInflight inflight)
    {
        PopResult result = TryTake(chain, inflight.NextResubmit);
        if (result == PopResult.Chain)
        {
            chain.Resubmitted = true;
            inflight.Repopped();
        }

        return result;
    }

    /// <summary>Reads the driver's index.</summary>
    private bool TryLookForMore()
    {
        // Acquire, against the driver's write barrier before it moves the index: entries and descriptors up to it are there.
        ushort index = Volatile.Read(ref *_availIndex);
        int more = (ushort)(index - _nextAvail);
        if (more == 0)
            return false;

        if (more > _size - _outstanding)
        {
            Break($"available index {index} where {_nextAvail} is next and {_outstanding} of {_size} chains are out");
            return false;
        }

        _seenAvail = index;
        return true;
    }

    private PopResult TryTake(DescriptorChain chain, ushort head)
    {
        if (head >= _size)
            return Break($"head {head} in a ring of {_size}");

        if (_busy[head])
            return Break($"head {head} made available while it is in flight");

        chain.Clear();
        chain.Id = head;
        PopResult result = Walk(chain, head);
        if (result != PopResult.Chain)
            return result;

        _busy[head] = true;
        _outstanding++;
        InFlight++;
        _order?.Popped(chain);
        return PopResult.Chain;
    }

    private PopResult Walk(DescriptorChain chain, uint index)
    {
        while (true)
        {
            VirtqDescriptor descriptor = VirtqDescriptor.Read(_descriptors + (index * VirtqDescriptor.Size));
            ushort flags = descriptor.SplitFlags;
            chain.Slots++;
            if ((flags & VirtqDescriptor.Indirect) != 0)
                return WalkIndirect(chain, descriptor);

            if (chain.TryAdd(descriptor.Address, descriptor.Length, (flags & VirtqDescriptor.Write) != 0) is { } refused)
                return Break(refused);

            if ((flags & VirtqDescriptor.Next) == 0)
                return PopResult.Chain;

            index = descriptor.SplitNext;
            if (index >= _size)
                return Break($"a link to descriptor {index} in a table of {_size}");

            if (chain.Slots == _size)
                return Break($"a chain longer than the ring's {_size} entries, or a loop");
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private PopResult WalkIndirect(DescriptorChain chain, in VirtqDescriptor descriptor)
    {
        if (!_indirect)
            return Break("an indirect descriptor without INDIRECT_DESC");

        if ((descriptor.SplitFlags & VirtqDescriptor.Next) != 0)
            return Break("an indirect descriptor with NEXT");

        int limit = Math.Max(_size, IndirectTable.ToleratedChain);
        PopResult result = Indirect.AppendTo(chain, descriptor, linked: true, limit, Memory, Iotlb);
        WaitsForTranslation = result == PopResult.Empty;
        return result == PopResult.Broken ? Break(Indirect.Cause) : result;
    }
}
