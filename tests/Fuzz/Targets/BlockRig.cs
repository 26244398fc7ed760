using System.Text;
using Backends.Block.Device;
using Backends.Block.Stores;
using Fuzz.Engine;
using Fuzz.Oracles;
using TestKit;
using VhostUser.Devices;
using VhostUser.Memory;
using VhostUser.Protocol;
using static VhostXen.Linux.LibC;

namespace Fuzz.Targets;

/// <summary>The product's disk of one kind on one side, the naive one on the other, and a driver that asks both.</summary>
internal sealed class BlockRig : IDisposable
{
    // Buffers, in two regions that are neighbours for the guest only: what crosses the seam is cut in two.
    private const ulong Arena = 0x1_0000_0000;
    private const int RegionSize = 0x6000;
    private const int ArenaSize = 2 * RegionSize;

    // Sectors with something in them at the start of a run.
    private const ulong Written = 192;

    private readonly BlockKind _kind;
    private readonly Complaints _complaints = new();
    private readonly WitnessStore _store;
    private readonly BlockDevice _device;
    private readonly DeviceRig _rig;
    private readonly StoreAccess _access;
    private readonly NaiveDisk _naive;
    private readonly byte[] _pattern = new byte[512];
    private readonly byte[] _expected = new byte[ArenaSize];
    private readonly Dictionary<ushort, uint> _lengths = [];
    private FuzzInput _input = new([]);
    private Behaviour _seen = new();
    private bool _writeback;
    private int _next;
    private int _requests;

    public BlockRig(BlockKind kind)
    {
        _kind = kind;
        var memory = new MemoryStore(kind.Length);
        _store = new WitnessStore(memory, new StoreProperties(ReadOnly: false, kind.CanDiscard, kind.BlockSize, 4096, DiscardGranularity: 4096));
        _access = new StoreAccess(memory.OpenChannel(null!));
        var options = new BlockDeviceOptions
        {
            Queues = 1, QueueSize = 64, ReadOnly = kind.ReadOnly, Writeback = kind.Writeback, LogicalBlockSize = kind.BlockSize, Serial = "fuzz",
        };
        _device = new BlockDevice(_store, options, _complaints);
        _rig = new DeviceRig(
            _device, kind.Features, kind.Ring, kind.RingSize, new WorkerOptions { UseIoUring = false },
            memory: new TestMemory((0UL, 0x80000UL), (Arena, (ulong)RegionSize), (Arena + RegionSize, (ulong)RegionSize)), logger: _complaints);
        _naive = new NaiveDisk
        {
            Capacity = kind.Sectors, ReadOnly = kind.ReadOnly, CanDiscard = kind.CanDiscard, Serial = [.. Encoding.ASCII.GetBytes("fuzz"), .. new byte[16]],
        };
    }

    /// <summary>Everything as it was before the first run.</summary>
    public void Begin(FuzzInput input, Behaviour seen)
    {
        _input = input;
        _seen = seen;
        _complaints.Listen(seen);
        _requests = 0;
        int failAt = input.OneIn(6) ? input.Below(6) : -1;
        int error = input.Pick(EIO, ENOSPC, EOPNOTSUPP);
        _naive.Begin(failAt, error);
        for (ulong sector = 0; sector < Math.Min(Written, _kind.Length / 512); sector++)
        {
            Array.Fill(_pattern, (byte)(sector + 1));
            _access.Write(sector * 512, _pattern);
            if (sector < _kind.Sectors)
                _naive.Preset(sector, [.. _pattern]);
        }

        _store.Begin(failAt, error);
        _device.Reset();
        _device.SetFeatures(_kind.Features | _kind.Ring | VirtioFeatures.Version1);
        _writeback = _kind.Writeback && _kind.Features != BlockFeatures.ConfigWce;
        Arrange();
    }

    /// <summary>A few requests at once, answered in whatever order.</summary>
    public void Batch()
    {
        if (_input.OneIn(6))
            ChangeMode();

        _next = 0;
        for (int i = 0; i < ArenaSize; i++)
            _expected[i] = (byte)(0xa0 + (i % 7));

        WriteArena(_expected);
        _lengths.Clear();
        int count = 1 + _input.Below(4);
        for (int i = 0; i < count && TryAdd(); i++)
            _requests++;

        for (int left = _lengths.Count; left > 0; left--)
        {
            UsedBuffer used = _rig.Next();
            FindingException.Require(_lengths.Remove(used.Id, out uint length), "a chain was returned twice");
            FindingException.Require(used.Written == length, $"{used.Written} bytes are said to be written, {length} are right");
        }

        Compare();
    }

    /// <summary>What is on the disk now.</summary>
    public void End()
    {
        _seen.Count("requests", _requests);
        StoreStep[] steps = _store.Taken();
        int same = steps.AsSpan().CommonPrefixLength(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_naive.Steps));
        if (same != steps.Length || same != _naive.Steps.Count)
            throw new FindingException($"step {same} on the store is {steps.ElementAtOrDefault(same)} and not {_naive.Steps.ElementAtOrDefault(same)}");

        foreach (StoreStep step in steps)
            _seen.Saw($"{step.Operation}{(step.Durable ? " durable" : "")}{(step.MayUnmap ? " unmap" : "")}");

        byte[] content = new byte[512];
        for (ulong sector = 0; sector < Math.Min(Written, _kind.Sectors); sector++)
            Compare(sector, content);

        foreach (ulong sector in _naive.Changed.Where(static sector => sector >= Written))
        {
            Compare(sector, content);
            _access.Clear(sector * 512, 512);
        }

        // What is behind the last whole block is nobody's.
        for (ulong sector = _kind.Sectors; sector < Math.Min(Written, _kind.Length / 512); sector++)
        {
            _access.Read(sector * 512, content);
            FindingException.Require(content.AsSpan().IndexOfAnyExcept((byte)(sector + 1)) < 0, "something was written behind the last block");
        }

        _complaints.ThrowIfAny();
    }

    public void Dispose() => _rig.Dispose();

    private void Compare(ulong sector, byte[] content)
    {
        _access.Read(sector * 512, content);
        FindingException.Require(content.AsSpan().SequenceEqual(_naive.Read(sector)), $"sector {sector} is another one");
    }

    private void Compare()
    {
        byte[] now = new byte[ArenaSize];
        ReadArena(now);
        int differs = now.AsSpan().CommonPrefixLength(_expected);
        FindingException.Require(differs == ArenaSize, $"byte {differs} of the buffers is {(differs < ArenaSize ? now[differs] : 0)} and not {(differs < ArenaSize ? _expected[differs] : 0)}");
    }

    /// <summary>The one field that the driver may write.</summary>
    private void ChangeMode()
    {
        byte value = _input.OneIn(4) ? _input.Byte() : (byte)_input.Below(2);
        bool taken = _device.WriteConfig(32, [value]);
        FindingException.Require(taken == value <= 1, $"writeback {value} is {(taken ? "taken" : "refused")}");
        if (taken)
            _writeback = value != 0;

        Arrange();
    }

    private void Arrange() => _naive.Durable = (_kind.Features & (BlockFeatures.ConfigWce | BlockFeatures.Flush)) switch
    {
        0 => true,
        BlockFeatures.Flush => !_kind.Writeback,
        _ => !_writeback,
    };

    private bool TryAdd()
    {
        uint type = _input.OneIn(10) ? _input.UInt32() : _input.Pick<uint>(0, 1, 4, 8, 11, 13, 13);
        byte[] header = new byte[16];
        BitConverter.TryWriteBytes(header, type);
        BitConverter.TryWriteBytes(header.AsSpan(4), _input.OneIn(6) ? _input.UInt32() : 0);
        BitConverter.TryWriteBytes(header.AsSpan(8), AnySector());
        byte[] data = type switch
        {
            1 => Random(AnyLength()),
            11 or 13 => Ranges(),
            _ => _input.OneIn(8) ? Random(AnyLength()) : [],
        };
        int writable = type switch
        {
            0 => AnyLength() + 1,
            8 => _input.Pick(21, 1, 20, 22, 2, 64, 0),
            _ => _input.OneIn(8) ? AnyLength() : 1,
        };
        byte[] readable = [.. header, .. data];
        if (_input.OneIn(12))
            Array.Resize(ref readable, _input.Below(18));

        if (_input.OneIn(16))
            writable = _input.Below(3);

        return TryAdd(readable, writable);
    }

    private bool TryAdd(byte[] readable, int writable)
    {
        int parts = 1 + _input.Below(6);
        List<GuestRange>? input = Cut(readable.Length, parts, false);
        List<GuestRange>? output = Cut(writable, 1 + _input.Below(6), true);
        bool indirect = (_kind.Ring & VirtioFeatures.IndirectDesc) != 0 && _input.Flip();
        if (input is null || output is null || input.Count + output.Count == 0 || !_rig.Driver.CanAdd(indirect ? 1 : input.Count + output.Count))
            return false;

        Spread(input, readable);
        byte[] answer = Gather(output);
        ushort id = _rig.Driver.Add([.. input, .. output], indirect);
        uint length = _naive.Do(readable, answer);
        Spread(output, answer);
        _lengths.Add(id, length);
        _seen.Saw($"type {(readable.Length < 16 ? "missing" : TypeName(readable))} ends with {(answer.Length == 0 ? "nothing" : answer[^1] switch { 0 => "ok", 1 => "an error", _ => "unsupported" })}");
        return true;

        static string TypeName(byte[] header) => BitConverter.ToUInt32(header) switch
        {
            0 => "in", 1 => "out", 4 => "flush", 8 => "id", 11 => "discard", 13 => "zeroes", _ => "unknown",
        };
    }

    /// <summary>Cuts so many bytes into buffers, anywhere; null when the arena is used up.</summary>
    private List<GuestRange>? Cut(int length, int parts, bool writable)
    {
        List<GuestRange> ranges = [];
        while (length > 0 || (parts > 0 && _input.OneIn(8)))
        {
            int part = parts-- <= 1 ? length : Math.Min(length, _input.Below(length < 256 ? length + 1 : 4096));
            int gap = _input.OneIn(3) ? _input.Below(64) : 0;
            if (part + gap > ArenaSize - _next)
                return null;

            ranges.Add(new GuestRange(new GuestAddress(Arena + (ulong)(_next + gap)), (uint)part, writable));
            _next += part + gap;
            length -= part;
        }

        return ranges;
    }

    /// <summary>Writes into the buffers; of a readable one the guest's memory too.</summary>
    private void Spread(List<GuestRange> ranges, byte[] bytes)
    {
        int at = 0;
        foreach (GuestRange range in ranges)
        {
            int offset = (int)(range.Address.Value - Arena);
            bytes.AsSpan(at, (int)range.Length).CopyTo(_expected.AsSpan(offset));
            for (int i = 0; !range.Writable && i < range.Length; i++)
                _rig.Memory.Span(new GuestAddress(range.Address.Value + (ulong)i), 1)[0] = bytes[at + i];

            at += (int)range.Length;
        }
    }

    private byte[] Gather(List<GuestRange> ranges)
    {
        List<byte> bytes = [];
        foreach (GuestRange range in ranges)
            bytes.AddRange(_expected.AsSpan((int)(range.Address.Value - Arena), (int)range.Length));

        return [.. bytes];
    }

    private byte[] Ranges()
    {
        int count = _input.OneIn(8) ? _input.Pick(0, 31, 32, 33) : 1 + _input.Below(3);
        byte[] data = new byte[(count * 16) + (_input.OneIn(12) ? _input.Below(16) : 0)];
        for (int i = 0; i < count; i++)
        {
            BitConverter.TryWriteBytes(data.AsSpan(i * 16), AnySector());
            uint most = _input.Pick<uint>(8, 1, 16, 128 << 10, (128 << 10) + 1, 4 << 20, (4 << 20) + 1);
            BitConverter.TryWriteBytes(data.AsSpan((i * 16) + 8), _input.Number32(most));
            BitConverter.TryWriteBytes(data.AsSpan((i * 16) + 12), _input.OneIn(8) ? _input.UInt32() : (uint)_input.Below(2));
        }

        return data;
    }

    private ulong AnySector() => _input.Below(4) switch
    {
        0 => (ulong)_input.Below(16),
        1 => _kind.Sectors - (ulong)_input.Below(16),
        2 => (ulong)_input.Below(192),
        _ => _input.Number(_kind.Sectors),
    };

    private int AnyLength() => _input.Below(8) switch
    {
        < 4 => 512,
        4 => 512 * _input.Below(10),
        5 => 4096,
        6 => _input.Below(600),
        _ => 511 + _input.Below(3),
    };

    private byte[] Random(int length)
    {
        byte[] bytes = new byte[length];
        _input.Random().NextBytes(bytes);
        return bytes;
    }

    private void WriteArena(byte[] bytes)
    {
        bytes.AsSpan(0, RegionSize).CopyTo(_rig.Memory.Span(new GuestAddress(Arena), RegionSize));
        bytes.AsSpan(RegionSize).CopyTo(_rig.Memory.Span(new GuestAddress(Arena + RegionSize), RegionSize));
    }

    private void ReadArena(byte[] bytes)
    {
        _rig.Memory.Span(new GuestAddress(Arena), RegionSize).CopyTo(bytes);
        _rig.Memory.Span(new GuestAddress(Arena + RegionSize), RegionSize).CopyTo(bytes.AsSpan(RegionSize));
    }
}
