using VhostUser.Memory;

namespace VhostUser.Tests.Queues;

/// <summary>
/// What a ring is, said naively: lists, and positions that count without end. A position is a chain's number in a
/// split ring and a descriptor's in a packed one. The rings name positions with few bits: an event that nobody moves
/// comes round again, after 65536 chains or two laps.
/// </summary>
internal sealed class RingModel(int size, bool packed, bool eventIndex, bool inOrder)
{
    private readonly List<Chain> _available = [];
    private readonly List<Chain> _popped = [];
    private readonly List<Chain> _used = [];
    private readonly Queue<Chain> _visible = new();
    private long _made;
    private long _kicked;
    private long _published;
    private long _collected;
    private long _interruptAt;
    private long? _kickAt = packed ? null : 0;
    private bool _interruptsOff;
    private bool _interruptsChosen;
    private bool _kicksOff;
    private bool _everPublished;

    public bool HasAvailable => _available.Count != 0;

    public int InFlight => _popped.Count(static chain => !chain.Done);

    public bool IsIdle => _popped.Count == 0 && _used.Count == 0;

    public void Add(ushort id, GuestRange[] ranges, int slots)
    {
        _available.Add(new Chain(id, ranges, slots));
        _made += Step(slots);
    }

    public Chain Pop()
    {
        Chain chain = _available[0];
        _available.RemoveAt(0);
        _popped.Add(chain);
        return chain;
    }

    public void Unpop()
    {
        _available.Insert(0, _popped[^1]);
        _popped.RemoveAt(_popped.Count - 1);
    }

    /// <summary>A chain the device may finish next: any, by its place among those not finished.</summary>
    public Chain Finish(int place, uint written)
    {
        Chain chain = _popped.Where(static candidate => !candidate.Done).ElementAt(place);
        chain.Done = true;
        chain.Written = written;
        if (!inOrder)
        {
            _popped.Remove(chain);
            _used.Add(chain);
            return chain;
        }

        while (_popped.Count != 0 && _popped[0].Done)
        {
            _used.Add(_popped[0]);
            _popped.RemoveAt(0);
        }

        return chain;
    }

    /// <returns>Whether the driver is to be called.</returns>
    public bool Publish()
    {
        if (_used.Count == 0)
            return false;

        long old = _published;
        foreach (Chain chain in _used)
        {
            _visible.Enqueue(chain);
            _published += Step(chain.Slots);
        }

        _used.Clear();
        bool first = !_everPublished;
        _everPublished = true;
        if (_interruptsOff && (packed || !eventIndex))
            return false;

        // A packed driver that has said nothing yet wants all.
        if (!eventIndex || (packed && !_interruptsChosen))
            return true;

        return first || Covers(old, _published, _interruptAt);
    }

    public bool TryCollect(out Chain chain)
    {
        if (!_visible.TryDequeue(out chain!))
            return false;

        _collected += Step(chain.Slots);
        return true;
    }

    public bool AllowInterrupts(int after)
    {
        _interruptsOff = false;
        _interruptsChosen = true;
        _interruptAt = _collected + after;
        return _visible.Count != 0;
    }

    public void SuppressInterrupts()
    {
        _interruptsOff = true;

        // Split: an event that has just been passed.
        _interruptAt = packed ? _interruptAt : _collected - 1;
    }

    public bool AllowKicks(long poppedPosition)
    {
        _kicksOff = false;
        _kickAt = poppedPosition;
        return HasAvailable;
    }

    public void SuppressKicks() => _kicksOff = true;

    public bool NeedsKick()
    {
        long old = _kicked;
        _kicked = _made;
        if (old == _made)
            return false;

        if (_kicksOff && (packed || !eventIndex))
            return false;

        return !eventIndex || _kickAt is not { } at || Covers(old, _made, at);
    }

    /// <summary>Where the device looks next.</summary>
    public long PoppedPosition => _made - _available.Sum(chain => (long)Step(chain.Slots));

    /// <summary>The device's ring is made anew; everything popped is back.</summary>
    public void Restart() => _everPublished = false;

    private bool Covers(long from, long to, long at)
    {
        long round = packed ? 2 * size : 65536;
        for (long position = from; position < to; position++)
        {
            if ((position - at) % round == 0)
                return true;
        }

        return false;
    }

    private int Step(int slots) => packed ? slots : 1;

    internal sealed class Chain(ushort id, GuestRange[] ranges, int slots)
    {
        public ushort Id => id;

        public GuestRange[] Ranges => ranges;

        public int Slots => slots;

        public bool Done { get; set; }

        public uint Written { get; set; }
    }
}
