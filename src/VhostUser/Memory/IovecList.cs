using VhostXen.Linux;

namespace VhostUser.Memory;

/// <summary>
/// A growable list of iovecs in pinned memory, so that it can be handed to readv, writev and io_uring as it is.
/// It grows and never shrinks: a list that is used again allocates nothing in the steady state.
/// </summary>
public sealed unsafe class IovecList
{
    private iovec[] _entries;

    public IovecList(int capacity = 8) => _entries = GC.AllocateUninitializedArray<iovec>(capacity, pinned: true);

    public int Count { get; private set; }

    /// <summary>Sum of all lengths in bytes.</summary>
    public ulong Length { get; private set; }

    /// <summary>The first entry; stable while the list does not grow.</summary>
    public iovec* Pointer => (iovec*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref System.Runtime.InteropServices.MemoryMarshal.GetArrayDataReference(_entries));

    public ReadOnlySpan<iovec> Span => _entries.AsSpan(0, Count);

    public ref readonly iovec this[int index] => ref _entries.AsSpan(0, Count)[index];

    public void Clear()
    {
        Count = 0;
        Length = 0;
    }

    public void Add(void* pointer, nuint length)
    {
        if (Count == _entries.Length)
            Grow(Count + 1);

        _entries[Count].iov_base = pointer;
        _entries[Count].iov_len = length;
        Count++;
        Length += length;
    }

    /// <summary>Adds the part of <paramref name="source"/> that starts <paramref name="skip"/> bytes in and is <paramref name="take"/> bytes long.</summary>
    /// <returns>How many bytes were there to add.</returns>
    public ulong AddSlice(ReadOnlySpan<iovec> source, ulong skip, ulong take)
    {
        ulong added = 0;
        foreach (ref readonly iovec entry in source)
        {
            if (added == take)
                break;

            if (skip >= entry.iov_len)
            {
                skip -= entry.iov_len;
                continue;
            }

            ulong part = Math.Min(entry.iov_len - skip, take - added);
            Add((byte*)entry.iov_base + skip, (nuint)part);
            added += part;
            skip = 0;
        }

        return added;
    }

    private void Grow(int needed)
    {
        iovec[] larger = GC.AllocateUninitializedArray<iovec>(Math.Max(needed, _entries.Length * 2), pinned: true);
        _entries.AsSpan(0, Count).CopyTo(larger);
        _entries = larger;
    }
}
