using System.Runtime.CompilerServices;
using VhostUser.Protocol;

namespace VhostUser.Queues;

/// <summary>
/// The device's side of a packed ring (virtio 1.3, 2.8): one descriptor ring that both sides write, and an event
/// suppression structure each. This half takes chains; PackedVirtqueue.Used.cs gives them back.
/// </summary>
/// <remarks>
/// SAFETY: the three pointers come from <see cref="VirtqueueLayout"/>, each good for the ring's size; positions are
/// the device's own and stay below the size. Buffer ids are the driver's and any number: they are echoed and never
/// index anything. Little-endian hosts only.
/// </remarks>
internal sealed unsafe partial class PackedVirtqueue : Virtqueue
{
    private const ushort WrapBit = 1 << 15;
    private const ushort AvailableUsed = VirtqDescriptor.Available | VirtqDescriptor.Used;

    private readonly byte* _ring;
    private readonly uint* _driverEvent;
    private readonly uint* _deviceEvent;
    private readonly GuestAddress? _ringAddress;
    private readonly GuestAddress? _deviceEventAddress;
    private readonly int _size;
    private readonly bool _eventIndex;
    private readonly bool _indirect;
    private readonly InOrderUsed? _order;
    private readonly PackedInflight? _inflight;

    // Positions in the ring with their wrap counters, which start at 1 and flip at the ring's end.
    private int _nextAvail;
    private bool _availWrap;
    private int _nextUsed;
    private bool _usedWrap;

    // Slots popped and not yet published; slots of used descriptors written and not yet published.
    private int _outstanding;
    private int _batchSlots;
    private int _batchHead;
    private ushort _batchHeadFlags;
    private bool _everPublished;

    public PackedVirtqueue(in VirtqueueLayout layout, ulong features, uint @base, InflightQueueRegion? inflight)
    {
        _size = layout.Size;
        _ring = layout.Descriptors;
        _driverEvent = (uint*)layout.Driver;
        _deviceEvent = (uint*)layout.Device;
        _ringAddress = layout.DescriptorsAddress;
        _deviceEventAddress = layout.DeviceAddress;
        _eventIndex = (features & VirtioFeatures.EventIdx) != 0;
        _indirect = (features & VirtioFeatures.IndirectDesc) != 0;
        _order = (features & VirtioFeatures.InOrder) != 0 ? new InOrderUsed(_size) : null;
        if (inflight is null)
        {
            SetBase(@base);
            return;
        }

        _inflight = new PackedInflight(inflight, _size);
        Recover(_inflight, @base);
    }

    public override int Size => _size;

    public override uint Base => Encode(_nextAvail, _availWrap) | ((uint)Encode(_nextUsed, _usedWrap) << 16);

    public override PopResult TryPop(DescriptorChain chain)
    {
        WaitsForTranslation = false;
        if (BrokenCause is not null)
            return PopResult.Broken;

        if (_inflight is { HasResubmits: true })
            return PopResubmit(chain, _inflight);

        // Acquire (in Read), against the driver's write barrier before it sets the head's flags: the chain is all there.
        VirtqDescriptor head = VirtqDescriptor.Read(Slot(_nextAvail));
        if (!IsAvailable(head.PackedFlags))
            return PopResult.Empty;

        chain.Clear();
        PopResult result = Walk(chain, head);
        if (result != PopResult.Chain)
            return result;

        Advance(ref _nextAvail, ref _availWrap, chain.Slots);
        _outstanding += chain.Slots;
        if (_inflight is not null)
            chain.InflightSlot = _inflight.Popped(chain.Slots);

        InFlight++;
        _order?.Popped(chain);
        return PopResult.Chain;
    }

    public override void Unpop(DescriptorChain chain)
    {
        _order?.Unpopped();
        InFlight--;
        if (chain.Resubmitted)
        {
            _inflight!.Unrepopped();
            return;
        }

        _inflight?.Unpopped(chain.InflightSlot);
        _outstanding -= chain.Slots;
        _nextAvail -= chain.Slots;
        if (_nextAvail < 0)
        {
            _nextAvail += _size;
            _availWrap = !_availWrap;
        }
    }

    private static ushort Encode(int position, bool wrap) => (ushort)(position | (wrap ? WrapBit : 0));

    /// <summary>The flags of a descriptor that is available in a lap: AVAIL as the wrap counter, USED its inverse.</summary>
    private static ushort AvailableFlags(bool wrap) => wrap ? VirtqDescriptor.Available : VirtqDescriptor.Used;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool IsAvailable(ushort flags) => (flags & AvailableUsed) == AvailableFlags(_availWrap);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private byte* Slot(int position) => _ring + ((nint)position * VirtqDescriptor.Size);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Advance(ref int position, ref bool wrap, int slots)
    {
        position += slots;
        if (position >= _size)
        {
            position -= _size;
            wrap = !wrap;
        }
    }

    private PopResult Walk(DescriptorChain chain, VirtqDescriptor descriptor)
    {
        int room = _size - _outstanding;
        int position = _nextAvail;
        while (true)
        {
            if (chain.Slots == room)
                return Break($"a chain of more than {room} descriptors where {_outstanding} of {_size} are out");

            chain.Slots++;
            _inflight?.Stage(chain.Slots - 1, descriptor);

            // The id counts in the last descriptor of a chain.
            ushort flags = descriptor.PackedFlags;
            chain.Id = descriptor.PackedId;
            if ((flags & VirtqDescriptor.Indirect) != 0)
                return WalkIndirect(chain, descriptor);

            if (chain.TryAdd(descriptor.Address, descriptor.Length, (flags & VirtqDescriptor.Write) != 0) is { } refused)
                return Break(refused);

            if ((flags & VirtqDescriptor.Next) == 0)
                return PopResult.Chain;

            if (++position == _size)
                position = 0;

            descriptor = VirtqDescriptor.Read(Slot(position));
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private PopResult WalkIndirect(DescriptorChain chain, in VirtqDescriptor descriptor)
    {
        if (!_indirect)
            return Break("an indirect descriptor without INDIRECT_DESC");

        if ((descriptor.PackedFlags & VirtqDescriptor.Next) != 0)
            return Break("an indirect descriptor with NEXT");

        int limit = Math.Max(_size, IndirectTable.ToleratedChain);
        PopResult result = Indirect.AppendTo(chain, descriptor, linked: false, limit, Memory, Iotlb);
        WaitsForTranslation = result == PopResult.Empty;
        return result == PopResult.Broken ? Break(Indirect.Cause) : result;
    }

    private PopResult PopResubmit(DescriptorChain chain, PackedInflight inflight)
    {
        PackedInflight.Resubmit resubmit = inflight.NextResubmit;
        chain.Clear();
        chain.Slots = (ushort)resubmit.Descriptors.Length;
        chain.Id = resubmit.Descriptors[^1].PackedId;
        foreach (ref readonly VirtqDescriptor descriptor in resubmit.Descriptors.AsSpan())
        {
            ushort flags = descriptor.PackedFlags;
            if ((flags & VirtqDescriptor.Indirect) != 0)
            {
                PopResult result = WalkIndirect(chain, descriptor);
                if (result != PopResult.Chain)
                    return result;
            }
            else if (chain.TryAdd(descriptor.Address, descriptor.Length, (flags & VirtqDescriptor.Write) != 0) is { } refused)
            {
                return Break(refused);
            }
        }

        chain.Resubmitted = true;
        chain.InflightSlot = resubmit.Head;
        inflight.Repopped();
        InFlight++;
        _order?.Popped(chain);
        return PopResult.Chain;
    }

    /// <summary>
    /// Goes on at the region's used position; so many descriptors as are to be popped again lie between it and the
    /// next available one.
    /// </summary>
    private void Recover(PackedInflight inflight, uint @base)
    {
        if (!inflight.Recover(_ring, out int used, out bool wrap, out int slots, out string? cause))
        {
            SetBase(@base);
            inflight.Initialise(_nextUsed, _usedWrap);
            return;
        }

        if (cause is not null)
        {
            Break(cause);
            return;
        }

        _nextUsed = _nextAvail = used;
        _usedWrap = _availWrap = wrap;
        _outstanding = slots;

        // The predecessor may have written used descriptors behind a batch's head that it did not live to publish.
        // They are the device's: made to look as the driver left them, or it would take them for used later on.
        int position = used;
        for (int i = 0; i < slots; i++)
        {
            Volatile.Write(ref *(ushort*)(Slot(position) + 14), AvailableFlags(wrap));
            Advance(ref position, ref wrap, 1);
        }

        Advance(ref _nextAvail, ref _availWrap, slots);
    }

    /// <summary>Bits 0-14 available position, 15 its wrap counter, 16-30 used position, 31 its wrap counter.</summary>
    private void SetBase(uint @base)
    {
        // Some peers know 16 bits only: a ring stopped with nothing in flight has both positions alike.
        if (@base >> 16 == 0)
            @base |= @base << 16;

        _nextAvail = (int)(@base & 0x7fff);
        _availWrap = (@base & WrapBit) != 0;
        _nextUsed = (int)((@base >> 16) & 0x7fff);
        _usedWrap = @base >> 31 != 0;
        _outstanding = _nextAvail - _nextUsed + (_availWrap == _usedWrap ? 0 : _size);
        if (_nextAvail >= _size || _nextUsed >= _size || _outstanding < 0 || _outstanding > _size)
        {
            Break($"base 0x{@base:x} for a packed ring of {_size}");
            _nextAvail = _nextUsed = _outstanding = 0;
        }
    }
}
