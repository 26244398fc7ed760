using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace VhostUser.Protocol;

/// <summary>Puts a payload together in a buffer that is long enough.</summary>
internal ref struct MessageWriter(Span<byte> buffer)
{
    private readonly Span<byte> _buffer = buffer;

    /// <summary>Bytes written so far.</summary>
    public int Position { get; private set; }

    public void WriteByte(byte value) => Write(value);

    public void WriteUInt16(ushort value) => Write(value);

    public void WriteUInt32(uint value) => Write(value);

    public void WriteUInt64(ulong value) => Write(value);

    public void WriteBytes(scoped ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(_buffer[Position..]);
        Position += bytes.Length;
    }

    /// <summary>Writes padding.</summary>
    public void WriteZeroes(int count)
    {
        _buffer.Slice(Position, count).Clear();
        Position += count;
    }

    private void Write<T>(T value)
        where T : unmanaged
    {
        MemoryMarshal.Write(_buffer[Position..], value);
        Position += Unsafe.SizeOf<T>();
    }
}
