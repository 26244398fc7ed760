using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace XenModel.Server;

/// <summary>Takes a request apart. What is missing makes it malformed; so does what is left over.</summary>
internal ref struct BodyReader(Span<byte> body)
{
    private Span<byte> _rest = body;
    private bool _failed;

    /// <summary>All of it was there, and nothing else.</summary>
    public readonly bool Complete => !_failed && _rest.IsEmpty;

    public T Take<T>()
        where T : unmanaged
    {
        Span<byte> bytes = TakeBytes((uint)Unsafe.SizeOf<T>());
        return _failed ? default : MemoryMarshal.Read<T>(bytes);
    }

    public Span<T> TakeArray<T>(uint count)
        where T : unmanaged => MemoryMarshal.Cast<byte, T>(TakeBytes((ulong)count * (ulong)Unsafe.SizeOf<T>()));

    public Span<byte> TakeBytes(ulong count)
    {
        if (_failed || count > (ulong)_rest.Length)
        {
            _failed = true;
            return default;
        }

        Span<byte> taken = _rest[..(int)count];
        _rest = _rest[(int)count..];
        return taken;
    }
}
