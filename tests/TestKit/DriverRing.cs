using VhostUser.Memory;
using VhostUser.Protocol;

namespace TestKit;

/// <summary>
/// The driver's side of a ring in a <see cref="TestMemory"/>: builds chains, publishes them, collects used entries
/// and checks that the device returns only what it was given. One knob per lie: <see cref="Tell"/>.
/// </summary>
public abstract unsafe class DriverRing
{
    private const int TableEntries = 128;

    private readonly Dictionary<ushort, uint> _outstanding = [];
    private readonly Dictionary<ushort, GuestAddress> _tables = [];
    private readonly Stack<GuestAddress> _freeTables = new();

    private protected DriverRing(TestMemory memory, int size, ulong features, GuestAddress descriptors, GuestAddress driver, GuestAddress device)
    {
        Memory = memory;
        Size = size;
        Features = features;
        Descriptors = descriptors;
        Driver = driver;
        Device = device;
        FreeDescriptors = size;
    }

    public TestMemory Memory { get; }

    public int Size { get; }

    /// <summary>As negotiated: RING_PACKED, INDIRECT_DESC, EVENT_IDX, IN_ORDER count here.</summary>
    public ulong Features { get; }

    /// <summary>Descriptor table, or packed descriptor ring.</summary>
    public GuestAddress Descriptors { get; }

    /// <summary>Available ring, or driver event suppression.</summary>
    public GuestAddress Driver { get; }

    /// <summary>Used ring, or device event suppression.</summary>
    public GuestAddress Device { get; }

    public bool IsPacked => (Features & VirtioFeatures.RingPacked) != 0;

    /// <summary>What SET_VRING_BASE says for a ring that has never run.</summary>
    public uint InitialBase => IsPacked ? 0x8000_8000 : 0;

    public int FreeDescriptors { get; private protected set; }

    /// <summary>Chains that the device has.</summary>
    public int Outstanding => _outstanding.Count;

    private protected bool EventIndex => (Features & VirtioFeatures.EventIdx) != 0;

    private protected bool InOrder => (Features & VirtioFeatures.InOrder) != 0;

    /// <summary>Lays a ring out in memory.</summary>
    /// <param name="memory">Where.</param>
    /// <param name="size">Entries.</param>
    /// <param name="features">Decide the form and what the driver uses.</param>
    /// <param name="region">Index of the region to take the memory from.</param>
    public static DriverRing Create(TestMemory memory, int size, ulong features = 0, int region = 0)
    {
        bool packed = (features & VirtioFeatures.RingPacked) != 0;
        (ulong descriptors, ulong driver, ulong device) = Bytes(packed, size);
        GuestAddress table = memory.Allocate((int)descriptors, 16, region);
        GuestAddress avail = memory.Allocate((int)driver, 4, region);
        GuestAddress used = memory.Allocate((int)device, 4, region);
        return packed
            ? new PackedDriverRing(memory, size, features, table, avail, used)
            : new SplitDriverRing(memory, size, features, table, avail, used);
    }

    /// <summary>Bytes of each part.</summary>
    public static (ulong Descriptors, ulong Driver, ulong Device) Bytes(bool packed, int size)
        => packed
            ? (16UL * (ulong)size, 4, 4)
            : (16UL * (ulong)size, 6 + (2UL * (ulong)size), 6 + (8UL * (ulong)size));

    /// <summary>Makes a chain available.</summary>
    /// <returns>What its used entry will name.</returns>
    /// <exception cref="InvalidOperationException">The ring is full.</exception>
    public ushort Add(params ReadOnlySpan<GuestRange> buffers) => Add(buffers, indirect: false);

    /// <summary>Whether the device has a chain of this name.</summary>
    public bool IsOutstanding(ushort id) => _outstanding.ContainsKey(id);

    /// <summary>Makes a chain available that takes one descriptor, its buffers in a table of their own.</summary>
    public ushort AddIndirect(params ReadOnlySpan<GuestRange> buffers) => Add(buffers, indirect: true);

    /// <inheritdoc cref="Add(ReadOnlySpan{GuestRange})"/>
    /// <param name="buffers">Readable ones first.</param>
    /// <param name="indirect">Whether to use an indirect table.</param>
    public ushort Add(ReadOnlySpan<GuestRange> buffers, bool indirect)
    {
        if (!CanAdd(indirect ? 1 : buffers.Length))
            throw new InvalidOperationException("the test's ring is full");

        uint writable = 0;
        foreach (ref readonly GuestRange buffer in buffers)
            writable += buffer.Writable ? buffer.Length : 0;

        ushort id = AddChain(buffers, indirect);
        _outstanding.Add(id, writable);
        return id;
    }

    /// <summary>Memory for an indirect table, used again once its chain is back; very long ones are made anew.</summary>
    private protected GuestAddress TakeTable(ushort id, int entries)
    {
        if (entries > TableEntries)
            return Memory.Allocate(16 * entries);

        GuestAddress table = _freeTables.Count != 0 ? _freeTables.Pop() : Memory.Allocate(16 * TableEntries);
        _tables.Add(id, table);
        return table;
    }

    /// <summary>Whether a chain of so many descriptors fits.</summary>
    public virtual bool CanAdd(int descriptors) => FreeDescriptors >= descriptors;

    /// <summary>Whether the device asked to be kicked for what was added since this was asked last.</summary>
    public abstract bool NeedsKick();

    /// <summary>Takes the next used entry.</summary>
    /// <exception cref="InvalidOperationException">The device returned what it was not given, or wrote more than it could.</exception>
    public bool TryCollect(out UsedBuffer used)
    {
        if (!TryTakeUsed(out used))
            return false;

        if (!_outstanding.Remove(used.Id, out uint writable))
            throw new InvalidOperationException($"the device returned chain {used.Id}, which it does not have");

        if (used.Written > writable)
            throw new InvalidOperationException($"the device says it wrote {used.Written} bytes into {writable} of chain {used.Id}");

        Release(used.Id);
        if (_tables.Remove(used.Id, out GuestAddress table))
            _freeTables.Push(table);

        return true;
    }

    /// <summary>Asks for an interrupt at the next used entry.</summary>
    /// <returns>True when there is one already.</returns>
    public abstract bool AllowInterrupts();

    /// <summary>Asks for an interrupt only once so many more entries are used (EVENT_IDX).</summary>
    public abstract void AllowInterruptsAfter(int entries);

    /// <summary>Asks for no interrupts.</summary>
    public abstract void SuppressInterrupts();

    /// <summary>Puts a lie into the ring. The ring is of no other use afterwards.</summary>
    /// <exception cref="NotSupportedException">This form of ring cannot say that.</exception>
    public abstract void Tell(RingLie lie);

    /// <summary>Whether this form of ring can tell that lie.</summary>
    public abstract bool CanTell(RingLie lie);

    private protected abstract ushort AddChain(ReadOnlySpan<GuestRange> buffers, bool indirect);

    private protected abstract bool TryTakeUsed(out UsedBuffer used);

    private protected abstract void Release(ushort id);
}
