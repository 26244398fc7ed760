using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace VhostUser.Protocol;

/// <summary>Takes a payload apart: never past its end, and <see cref="End"/> insists that nothing is left over.</summary>
internal ref struct MessageReader
{
    private readonly string _message;
    private ReadOnlySpan<byte> _rest;

    /// <param name="message">Name of the message, for the error text.</param>
    /// <param name="payload">All of its payload.</param>
    public MessageReader(string message, ReadOnlySpan<byte> payload)
    {
        _message = message;
        _rest = payload;
    }

    /// <summary>Bytes not yet read.</summary>
    public readonly int Remaining => _rest.Length;

    /// <summary>Name of the message that is being read.</summary>
    public readonly string Message => _message;

    public byte ReadByte() => Read<byte>();

    public ushort ReadUInt16() => Read<ushort>();

    public uint ReadUInt32() => Read<uint>();

    public ulong ReadUInt64() => Read<ulong>();

    public ReadOnlySpan<byte> ReadBytes(int count)
    {
        if (count > _rest.Length)
            throw TooShort(count);

        ReadOnlySpan<byte> bytes = _rest[..count];
        _rest = _rest[count..];
        return bytes;
    }

    /// <summary>Passes over padding, whose contents mean nothing (C compilers leave in it what was there).</summary>
    public void Skip(int count) => ReadBytes(count);

    /// <summary>Reads one payload value.</summary>
    public T ReadPayload<T>()
        where T : struct, IPayload<T>
        => T.Read(ref this);

    /// <exception cref="ProtocolException">Bytes are left over.</exception>
    public readonly void End()
    {
        if (!_rest.IsEmpty)
            throw new ProtocolException(_message, $"{_rest.Length} bytes left over at the end of its payload");
    }

    private T Read<T>()
        where T : unmanaged
    {
        if (_rest.Length < Unsafe.SizeOf<T>())
            throw TooShort(Unsafe.SizeOf<T>());

        T value = MemoryMarshal.Read<T>(_rest);
        _rest = _rest[Unsafe.SizeOf<T>()..];
        return value;
    }

    private readonly ProtocolException TooShort(int wanted)
        => new(_message, $"payload ends where {wanted} more bytes are expected and {_rest.Length} are left");
}
