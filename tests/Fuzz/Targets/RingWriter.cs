using System.Runtime.InteropServices;
using Fuzz.Engine;
using TestKit;
using VhostUser.Protocol;

namespace Fuzz.Targets;

/// <summary>A hostile driver's pen: fills ring memory with what is nearly right, and goes on changing it.</summary>
internal sealed class RingWriter
{
    public const ulong Descriptors = 0x1000;
    public const ulong Driver = 0x2000;
    public const ulong Device = 0x3000;
    private const ulong Tables = 0x4000;
    private const ulong Buffers = 0x6000;

    private readonly FuzzInput _input;
    private readonly TestMemory _memory;

    public RingWriter(FuzzInput input, TestMemory memory, ulong features, int size)
    {
        _input = input;
        _memory = memory;
        IsPacked = (features & VirtioFeatures.RingPacked) != 0;
        Size = size;
    }

    public bool IsPacked { get; }

    public int Size { get; }

    /// <summary>Two pages of ring, tables and buffers, then two regions that are neighbours for the guest only.</summary>
    public static TestMemory NewMemory() => new((0UL, 0x8000UL), (0x10000UL, 0x1000UL), (0x11000UL, 0x1000UL));

    /// <summary>Fills everything once.</summary>
    public void Fill(int start, bool wrap)
    {
        if (_input.OneIn(6))
        {
            _input.Random().NextBytes(_memory.All);
            return;
        }

        int entries = Math.Min(Size, 1 + _input.Below(24));
        for (int i = 0; i < entries; i++)
        {
            int slot = IsPacked ? (start + i) % Size : i;
            bool lap = IsPacked && start + i >= Size ? !wrap : wrap;
            Entry(Descriptors + (16 * (ulong)slot), Size, lap, inTable: false);
        }

        for (int i = _input.Below(24); i > 0; i--)
            Entry(Tables + (16 * (ulong)(24 - i)), 24, wrap, inTable: true);

        if (IsPacked)
            return;

        for (int i = 0; i < entries; i++)
            Put(Driver + 4 + (2 * (ulong)((start + i) % Size)), (ushort)_input.Number((ulong)i, 16));

        Put(Driver + 2, (ushort)((ulong)start + _input.Number((ulong)_input.Below(entries + 1), 16)));
        Put(Device + 2, (ushort)start);
        Put(Driver + 4 + (2 * (ulong)Size), _input.UInt16());
    }

    /// <summary>Changes a little: a descriptor, an index, a byte.</summary>
    public void Change(int position, bool wrap)
    {
        switch (_input.Below(4))
        {
            case 0:
                Entry(Descriptors + (16 * (ulong)(IsPacked ? position % Size : _input.Below(Size))), Size, wrap, inTable: false);
                break;
            case 1 when !IsPacked:
                Put(Driver + 2, (ushort)((ulong)position + _input.Number((ulong)_input.Below(Size + 1), 16)));
                break;
            case 2:
                _memory.All[_input.UInt16() % _memory.All.Length] = _input.Byte();
                break;
            default:
                Put(Driver, _input.UInt32());
                break;
        }
    }

    private void Entry(ulong at, int links, bool wrap, bool inTable)
    {
        byte shape = _input.Byte();
        ushort flags = (ushort)(shape & 3);
        if (shape % 8 == 4)
            flags = 4;
        else if (shape % 32 == 29)
            flags = _input.UInt16();

        bool table = (flags & 4) != 0;
        ulong address = table ? Tables + (16 * (ulong)_input.Below(4)) : Address();
        uint length = table ? (uint)_input.Number(16 * (ulong)(1 + _input.Below(20)), 32) : (uint)_input.Number((ulong)_input.Below(600), 32);
        Put(at, _input.OneIn(12) ? _input.Number(address) : address);
        Put(at + 8, length);
        ushort next = (ushort)_input.Number((ulong)_input.Below(links), 16);
        if (!IsPacked)
        {
            Put(at + 12, flags);
            Put(at + 14, next);
            return;
        }

        if (!inTable && !_input.OneIn(16))
            flags = (ushort)((flags & ~0x8080) | (wrap ? 0x80 : 0x8000));

        Put(at + 12, next);
        Put(at + 14, flags);
    }

    private ulong Address() => _input.Below(12) switch
    {
        < 7 => Buffers + (16 * (ulong)_input.Below(256)),
        7 => 0x10000 + (ulong)_input.UInt16() % 0x2000,
        8 => 0x10f80 + (ulong)_input.Below(256),
        9 => 0x7f80 + (ulong)_input.Below(256),
        10 => (ulong)_input.UInt16() % 0x8000,
        _ => Tables,
    };

    private unsafe void Put<T>(ulong at, T value)
        where T : unmanaged
        => MemoryMarshal.Write(_memory.Span(new GuestAddress(at), sizeof(T)), value);
}
