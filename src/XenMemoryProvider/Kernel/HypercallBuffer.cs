using System.Runtime.CompilerServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Kernel;

/// <summary>
/// Memory that Xen can read and write while it runs a hypercall: never the managed heap, whose pages the kernel may move
/// under Xen's feet. Arguments are put in one after the other; what <see cref="Put{T}(in T)"/> returns is the handle that
/// goes into the call or into another argument. One thread at a time.
/// </summary>
public sealed unsafe class HypercallBuffer : IDisposable
{
    private readonly MappedMemory _memory;
    private readonly Action<HypercallBuffer>? _release;
    private int _used;

    /// <param name="memory">Becomes this object's.</param>
    /// <param name="neverFaults">The kernel promises that these pages stay where they are.</param>
    /// <param name="release">Called before the memory goes.</param>
    public HypercallBuffer(MappedMemory memory, bool neverFaults, Action<HypercallBuffer>? release = null)
    {
        _memory = memory;
        _release = release;
        NeverFaults = neverFaults;
    }

    /// <summary>False: a hypercall may answer EFAULT now and then for no reason of its own.</summary>
    public bool NeverFaults { get; }

    /// <summary>The handle of the first byte.</summary>
    public ulong Address => (ulong)_memory.Pointer;

    /// <summary>Bytes in all.</summary>
    public int Capacity => (int)_memory.Length;

    /// <summary>What was put in so far.</summary>
    public Span<byte> Used => new(_memory.Pointer, _used);

    /// <summary>Forgets what was put in.</summary>
    public void Reset() => _used = 0;

    /// <summary>Copies an argument in.</summary>
    /// <returns>Its handle.</returns>
    /// <exception cref="InvalidOperationException">The buffer is full.</exception>
    public ulong Put<T>(in T value)
        where T : unmanaged => Put(new ReadOnlySpan<T>(in value));

    /// <summary>Copies an array of arguments in.</summary>
    /// <returns>Its handle, aligned to 8; 0 (no array) for an empty one.</returns>
    /// <exception cref="InvalidOperationException">The buffer is full.</exception>
    public ulong Put<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        if (values.IsEmpty) return 0;
        long bytes = (long)values.Length * sizeof(T);
        int start = (_used + 7) & ~7;
        if (bytes > Capacity - start)
            throw new InvalidOperationException($"{bytes} bytes of hypercall arguments do not fit the {Capacity - start} left of the buffer");
        ulong handle = Address + (uint)start;
        // SAFETY: start + bytes is within the mapping, as just checked.
        values.CopyTo(new Span<T>(_memory.Pointer + start, values.Length));
        _used = start + (int)bytes;
        return handle;
    }

    /// <summary>The argument at a handle, in place.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not within what was put in.</exception>
    public ref T At<T>(ulong handle)
        where T : unmanaged => ref Span<T>(handle, 1)[0];

    /// <summary>The arguments at a handle, in place.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not within what was put in.</exception>
    public Span<T> Span<T>(ulong handle, int count)
        where T : unmanaged
    {
        ulong offset = handle - Address;
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        if (offset > (ulong)_used || (ulong)count * (ulong)Unsafe.SizeOf<T>() > (ulong)_used - offset)
            throw new ArgumentOutOfRangeException(nameof(handle), "not an argument of this buffer");
        // SAFETY: within the mapping, as just checked.
        return new Span<T>(_memory.Pointer + offset, count);
    }

    public void Dispose()
    {
        if (_memory.IsClosed) return;
        _release?.Invoke(this);
        _memory.Dispose();
    }
}
