using System.Runtime.InteropServices;
using Fuzz.Engine;
using TestKit;
using VhostUser.Protocol;

namespace Fuzz.Targets;

/// <summary>A thread that changes ring memory as fast as it can, while a device works on it: what a second virtual CPU of the guest does.</summary>
internal sealed class Scribbler : IDisposable
{
    private readonly TestMemory _memory;
    private readonly SemaphoreSlim _go = new(0);
    private readonly SemaphoreSlim _idle = new(0);
    private readonly Thread _thread;
    private Stroke[] _strokes = [];
    private volatile bool _stop;
    private volatile bool _end;
    private long _rounds;

    public Scribbler(TestMemory memory)
    {
        _memory = memory;
        _thread = new Thread(Work) { IsBackground = true, Name = "scribbler" };
        _thread.Start();
    }

    private enum Kind
    {
        Set16,
        Set64,
        Add16,
        Flip,
        Both,
        Noise,
    }

    /// <summary>How often it went through its strokes.</summary>
    public long Rounds => Volatile.Read(ref _rounds);

    public void Begin(FuzzInput input, bool packed, int size)
    {
        _strokes = new Stroke[1 + input.Below(12)];
        for (int i = 0; i < _strokes.Length; i++)
            _strokes[i] = new Stroke(Place(input, packed, size), (Kind)input.Below(6), input.Flip() ? input.UInt64() : Likely(input, size));

        _stop = false;
        _rounds = 0;
        _go.Release();
    }

    /// <summary>Stops, and waits until it did.</summary>
    public void Stop()
    {
        _stop = true;
        _idle.Wait();
    }

    public void Dispose()
    {
        _end = true;
        _go.Release();
        _thread.Join();
        _go.Dispose();
        _idle.Dispose();
    }

    private static ulong Likely(FuzzInput input, int size) => input.Below(6) switch
    {
        0 => (ulong)input.Below(size + 1),
        1 => input.Pick(1UL, 2UL, 3UL, 4UL, 5UL),
        2 => input.Pick(0x80UL, 0x8000UL, 0x8080UL, 0UL),
        3 => 0x4000 + (16 * (ulong)input.Below(16)),
        4 => 16 * (ulong)input.Below(40),
        _ => 0x6000 + (ulong)input.Below(256),
    };

    /// <summary>A field of a descriptor, an index, an event field, an entry of a table.</summary>
    private static ulong Place(FuzzInput input, bool packed, int size) => input.Below(8) switch
    {
        0 or 1 or 2 => RingWriter.Descriptors + (16 * (ulong)input.Below(Math.Min(size, 24))) + input.Pick(14UL, 12UL, 8UL, 0UL),
        3 => packed ? RingWriter.Driver : RingWriter.Driver + 2,
        4 => packed ? RingWriter.Device : RingWriter.Driver + 4 + (2 * (ulong)input.Below(size)),
        5 => packed ? RingWriter.Driver + 2 : RingWriter.Driver + 4 + (2 * (ulong)size),
        6 => RingWriter.Device + (2 * (ulong)input.Below(16)),
        _ => 0x4000 + (16 * (ulong)input.Below(24)) + input.Pick(14UL, 12UL, 8UL, 0UL),
    };

    private void Work()
    {
        while (true)
        {
            _go.Wait();
            if (_end)
                return;

            uint noise = 2463534242;
            while (!_stop)
            {
                foreach (Stroke stroke in _strokes)
                    Make(stroke, ref noise);

                Volatile.Write(ref _rounds, _rounds + 1);
            }

            _idle.Release();
        }
    }

    private unsafe void Make(in Stroke stroke, ref uint noise)
    {
        // SAFETY: every place lies in the first region, 8 bytes and more from its end.
        byte* at = _memory.At(new GuestAddress(stroke.Place), 8);
        ref ushort word = ref *(ushort*)at;
        switch (stroke.Kind)
        {
            case Kind.Set16: Volatile.Write(ref word, (ushort)stroke.Value); break;
            case Kind.Set64: MemoryMarshal.Write(new Span<byte>(at, 8), stroke.Value); break;
            case Kind.Add16: Volatile.Write(ref word, (ushort)(word + 1)); break;
            case Kind.Flip: Volatile.Write(ref word, (ushort)(word ^ (stroke.Value | 1))); break;
            case Kind.Both:
                Volatile.Write(ref word, (ushort)stroke.Value);
                Volatile.Write(ref word, (ushort)(stroke.Value >> 16));
                break;
            default:
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                Volatile.Write(ref word, (ushort)noise);
                break;
        }
    }

    private readonly record struct Stroke(ulong Place, Kind Kind, ulong Value);
}
