using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace XenModel.Domains;

/// <summary>
/// The caller's memory that one hypercall may touch: guest handles are addresses in it. Anything else is EFAULT, so a caller
/// reaches nothing but its own bytes, be they a buffer in this process, a copy of what came over a socket, or a guest's page.
/// </summary>
public readonly ref struct CallerMemory
{
    private readonly Span<byte> _bytes;
    private readonly ulong _base;

    /// <param name="bytes">All that handles may name.</param>
    /// <param name="address">The handle of the first byte.</param>
    public CallerMemory(Span<byte> bytes, ulong address)
    {
        _bytes = bytes;
        _base = address;
    }

    /// <summary>Are these bytes the caller's?</summary>
    public bool Contains(ulong handle, ulong length)
    {
        ulong offset = handle - _base;
        return handle >= _base && offset <= (ulong)_bytes.Length && length <= (ulong)_bytes.Length - offset;
    }

    /// <summary>False: EFAULT.</summary>
    public bool TryRead<T>(ulong handle, out T value)
        where T : unmanaged
    {
        if (!TrySlice(handle, (ulong)Unsafe.SizeOf<T>(), out Span<byte> bytes))
        {
            value = default;
            return false;
        }

        value = MemoryMarshal.Read<T>(bytes);
        return true;
    }

    /// <summary>Element <paramref name="index"/> of an array. False: EFAULT.</summary>
    public bool TryRead<T>(ulong handle, ulong index, out T value)
        where T : unmanaged
    {
        value = default;
        return TryElement<T>(handle, index, out ulong element) && TryRead(element, out value);
    }

    /// <summary>False: EFAULT, and nothing is written.</summary>
    public bool TryWrite<T>(ulong handle, in T value)
        where T : unmanaged
    {
        if (!TrySlice(handle, (ulong)Unsafe.SizeOf<T>(), out Span<byte> bytes)) return false;
        MemoryMarshal.Write(bytes, in value);
        return true;
    }

    /// <summary>Element <paramref name="index"/> of an array. False: EFAULT.</summary>
    public bool TryWrite<T>(ulong handle, ulong index, in T value)
        where T : unmanaged => TryElement<T>(handle, index, out ulong element) && TryWrite(element, in value);

    /// <summary>The bytes in place. False: EFAULT.</summary>
    public bool TrySlice(ulong handle, ulong length, out Span<byte> bytes)
    {
        if (!Contains(handle, length))
        {
            bytes = default;
            return false;
        }

        bytes = _bytes.Slice((int)(handle - _base), (int)length);
        return true;
    }

    private static bool TryElement<T>(ulong handle, ulong index, out ulong element)
        where T : unmanaged
    {
        element = 0;
        if (index > (ulong.MaxValue - handle) / (ulong)Unsafe.SizeOf<T>()) return false;
        element = handle + index * (ulong)Unsafe.SizeOf<T>();
        return true;
    }
}
