using System.Runtime.InteropServices;
using Fuzz.Engine;
using Fuzz.Oracles;
using TestKit;
using VhostUser.Protocol;
using VhostUser.Queues;

namespace Fuzz.Targets;

/// <summary>
/// In-flight regions with anything in them, on rings that are hardly better, life after life of a device that dies without
/// a word: what is done again is what a naive reading of the region finds, once each and before anything else; what was in
/// flight at a death is what the region says; nothing outside the region is touched, whatever changes in it meanwhile.
/// </summary>
internal sealed unsafe class InflightTarget : FuzzTarget
{
    private const ulong Features = VirtioFeatures.RingPacked | VirtioFeatures.EventIdx | VirtioFeatures.InOrder | VirtioFeatures.IndirectDesc;
    private const int MostEntries = 64;
    private readonly TestMemory _memory = RingWriter.NewMemory();
    private readonly MappedGuest _guest;
    private readonly GuardedBytes _region = new((int)InflightLayout.Bytes(packed: true, MostEntries));
    private FuzzInput _input = new([]);
    private Behaviour _seen = new();
    private RingWriter? _writer;
    private ulong _features;
    private int _size;
    private bool _packed;

    // Somebody writes while the device reads: nothing can be foretold then.
    private bool _scribbled;

    public InflightTarget() => _guest = _memory.Map(new GuardedProvider());

    public override void Run(FuzzInput input, Behaviour seen)
    {
        _input = input;
        _seen = seen;
        _memory.All.Clear();
        _features = ((ulong)input.Byte() << 28) & Features;
        _packed = (_features & VirtioFeatures.RingPacked) != 0;
        _size = _packed ? 1 + input.Below(MostEntries) : 1 << input.Below(7);
        _region.Begin((int)InflightLayout.Bytes(_packed, _size));
        int start = input.OneIn(3) ? input.Below(_packed ? _size : 65536) : 0;
        bool wrap = !_packed || !input.OneIn(3);
        _writer = new RingWriter(input, _memory, _features, _size);
        _writer.Fill(start, wrap);
        uint half = (uint)start | (wrap && _packed ? 0x8000u : 0);
        uint @base = _packed ? half | (half << 16) : half;
        for (int life = 0; life < 5 && !(life > 0 && input.IsAtEnd); life++)
        {
            if (life == 0 ? input.Flip() : input.OneIn(3))
                Invent(start, wrap);

            for (int i = input.OneIn(3) ? input.Below(6) : 0; i > 0; i--)
                Scribble();

            @base = Live(@base);
        }
    }

    public override void Dispose()
    {
        _guest.Dispose();
        _memory.Dispose();
        _region.Dispose();
    }

    private Span<byte> Ring => _memory.Span(new GuestAddress(RingWriter.Descriptors), 16 * _size);

    private ushort UsedIndex => MemoryMarshal.Read<ushort>(_memory.Span(new GuestAddress(RingWriter.Device + 2), 2));

    /// <returns>Where the next one goes on.</returns>
    private uint Live(uint @base)
    {
        _scribbled = _input.OneIn(4);
        List<int>? expected = Read(out bool broken);
        var region = new InflightQueueRegion((nint)_region.Pointer, (ulong)_region.Length) { StoreObserver = _scribbled ? Scribble : null };
        Virtqueue queue = Virtqueue.Create(Layout(), _features, @base, region);
        queue.Memory = _guest.Map;
        if (!_scribbled && broken)
            FindingException.Require(queue.BrokenCause is not null, "a region that makes no sense is taken");

        int again = expected is null || _scribbled ? -1 : expected.Count;
        var held = new List<(DescriptorChain Chain, bool Used)>();
        int replayed = 0;
        for (int step = 0; step < 3 * MostEntries; step++)
        {
            if (held.Count != 0 && _input.OneIn(5))
                GiveBack(queue, held);

            if (_input.OneIn(8))
                _writer!.Change(UsedIndex, true);

            var chain = new DescriptorChain();
            PopResult result = queue.TryPop(chain);
            _seen.Saw($"{result}{(chain.Resubmitted ? " again" : "")} {queue.BrokenCause}");
            if (result != PopResult.Chain)
                break;

            int name = _packed ? chain.InflightSlot : chain.Id;
            FindingException.Require(chain.Resubmitted || again <= replayed, "a request is left where others are taken");
            FindingException.Require(held.TrueForAll(other => (_packed ? other.Chain.InflightSlot : other.Chain.Id) != name), "a request is taken that is out");
            FindingException.Require(!_packed || held.Sum(static other => other.Chain.Slots) + chain.Slots <= _size, "more is out than the ring has");
            held.Add((chain, false));
            if (!chain.Resubmitted)
                continue;

            FindingException.Require(replayed < _size, "more is done again than the ring has");
            if (again >= 0)
                FindingException.Require(replayed < again && expected![replayed] == name, $"entry {name} is done again out of turn");

            replayed++;
        }

        _seen.Count("done again", replayed);
        return Die(queue, held, replayed >= again);
    }

    private void GiveBack(Virtqueue queue, List<(DescriptorChain Chain, bool Used)> held)
    {
        int index = _input.Below(held.Count);
        if (held[index].Used)
            return;

        queue.AddUsed(held[index].Chain, _input.Byte());
        held[index] = (held[index].Chain, true);
        if (_input.OneIn(3))
            return;

        queue.Publish();

        // With IN_ORDER what is given back waits for those before it.
        if ((_features & VirtioFeatures.InOrder) == 0)
            held.RemoveAll(static chain => chain.Used);
        else
            while (held.Count != 0 && held[0].Used)
                held.RemoveAt(0);
    }

    /// <summary>Gives everything back first, or nothing.</summary>
    private uint Die(Virtqueue queue, List<(DescriptorChain Chain, bool Used)> held, bool replayedAll)
    {
        bool gently = _input.Flip();
        if (gently)
        {
            foreach ((DescriptorChain chain, bool used) in held)
            {
                if (!used)
                    queue.AddUsed(chain, 0);
            }

            queue.Publish();
            held.Clear();
            FindingException.Require(queue.InFlight == 0, "something is in flight still");
        }

        FindingException.Require(_region.IsWhole, "something before the region was written");
        if (_scribbled || !replayedAll || queue.BrokenCause is not null)
            return queue.Base;

        List<int>? now = Read(out bool broken);
        FindingException.Require(!broken && now is not null, "a region that nobody touched cannot be read");
        IEnumerable<int> names = held.Select(other => _packed ? (int)other.Chain.InflightSlot : other.Chain.Id);
        FindingException.Require(now!.ToHashSet().SetEquals(names), $"in flight: {string.Join(' ', names)}; in the region: {string.Join(' ', now!)}");
        return queue.Base;
    }

    private List<int>? Read(out bool broken) => _packed
        ? NaiveInflight.Packed(_region.Span, _size, Ring, out broken)
        : NaiveInflight.Split(_region.Span, _size, UsedIndex, out broken);

    /// <summary>A region that might be a predecessor's, mostly; else any bytes.</summary>
    private void Invent(int start, bool wrap)
    {
        Span<byte> region = _region.Span;
        if (_input.OneIn(6))
        {
            _input.Random().NextBytes(region);
            if (_input.Flip())
                return;
        }

        Put(8, _input.Number16(1));
        Put(10, _input.Number16((ushort)_size));
        Put(12, _input.Number16((ushort)_input.Below(_size)));
        Put(14, _input.Number16(_packed ? (ushort)_input.Below(_size) : UsedIndex));
        if (_packed)
        {
            Put(16, _input.Number16((ushort)start));
            Put(18, _input.Number16((ushort)start));
            region[20] = region[21] = wrap ? (byte)1 : (byte)0;
        }

        int header = _packed ? 32 : 16;
        for (int i = 0; i < _size && !_input.IsAtEnd; i++)
        {
            int entry = header + (header * i);
            region[entry] = _input.Flip() ? (byte)1 : (byte)0;
            region[entry + 8] = _input.Byte();
            Put(entry + (_packed ? 2 : 6), _input.Number16((ushort)(i + 1)));
            if (_packed)
            {
                Put(entry + 6, _input.Number16((ushort)_input.Below(3)));
                Ring.Slice(16 * i, 16).CopyTo(region[(entry + 16)..]);
                (region[entry + 16], region[entry + 24]) = (region[entry + 24], region[entry + 16]);
            }
        }

        void Put(int at, ushort value) => MemoryMarshal.Write(_region.Span[at..], value);
    }

    private void Scribble()
    {
        if (_input.OneIn(4))
            Ring[_input.UInt16() % Ring.Length] = _input.Byte();
        else
            _region.Span[(_input.Flip() ? _input.Below(48) : _input.UInt16()) % _region.Length] = _input.Flip() ? (byte)_input.Below(4) : _input.Byte();
    }

    private VirtqueueLayout Layout()
    {
        (ulong descriptors, ulong driver, ulong device) = VirtqueueLayout.Sizes(_packed, _size);
        return new VirtqueueLayout
        {
            Size = _size,
            Descriptors = Find(RingWriter.Descriptors, descriptors),
            Driver = Find(RingWriter.Driver, driver),
            Device = Find(RingWriter.Device, device),
        };
    }

    private byte* Find(ulong address, ulong length) => _guest.Map.FindRing(new FrontendAddress(address), length, guestAddressesFirst: true, out _);
}
