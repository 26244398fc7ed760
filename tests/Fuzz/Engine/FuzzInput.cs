using System.Buffers.Binary;

namespace Fuzz.Engine;

/// <summary>
/// Bytes as a row of decisions. Every input is valid, and at its end it goes on with zeroes, which always mean the tame
/// choice: so a shorter input is a simpler story, and most of a story survives a mutation.
/// </summary>
internal sealed class FuzzInput(byte[] bytes)
{
    private int _at;

    public byte[] Bytes => bytes;

    public bool IsAtEnd => _at >= bytes.Length;

    public byte Byte() => _at < bytes.Length ? bytes[_at++] : (byte)0;

    public ushort UInt16() => (ushort)(Byte() | (Byte() << 8));

    public uint UInt32() => UInt16() | ((uint)UInt16() << 16);

    public ulong UInt64() => UInt32() | ((ulong)UInt32() << 32);

    /// <summary>0 to <paramref name="count"/> - 1.</summary>
    public int Below(int count) => count <= 1 ? 0 : (count <= 256 ? Byte() : UInt16()) % count;

    /// <summary>Seldom true.</summary>
    public bool OneIn(int count) => Below(count) == count - 1;

    /// <summary>True half of the time.</summary>
    public bool Flip() => (Byte() & 1) != 0;

    public T Pick<T>(params ReadOnlySpan<T> choices) => choices[Below(choices.Length)];

    public void Fill(Span<byte> destination)
    {
        int count = Math.Min(destination.Length, bytes.Length - _at);
        if (count > 0)
        {
            bytes.AsSpan(_at, count).CopyTo(destination);
            _at += count;
        }

        destination[Math.Max(0, count)..].Clear();
    }

    public byte[] Take(int count)
    {
        byte[] taken = new byte[count];
        Fill(taken);
        return taken;
    }

    /// <summary>The number that would be right, mostly; else one that is next to it, at an edge, or any.</summary>
    /// <param name="right">What a good peer says.</param>
    /// <param name="width">Bits of the field.</param>
    public ulong Number(ulong right, int width = 64)
    {
        ulong number = Below(20) switch
        {
            < 11 => right,
            11 => right + 1,
            12 => right - 1,
            13 => 0,
            14 => ulong.MaxValue,
            15 => 1UL << Below(64),
            16 => ulong.MaxValue - Byte(),
            17 => Byte(),
            18 => right ^ (1UL << Below(64)),
            _ => UInt64(),
        };
        return width == 64 ? number : number & ((1UL << width) - 1);
    }

    public uint Number32(uint right) => (uint)Number(right, 32);

    public ushort Number16(ushort right) => (ushort)Number(right, 16);

    /// <summary>A seed for what is too much to be spelt out.</summary>
    public Random Random() => new(BinaryPrimitives.ReadInt32LittleEndian(Take(4)));
}
