using System.Runtime.CompilerServices;

namespace VhostUser.Queues;

/// <summary>
/// One 16-byte descriptor, copied out of memory that the driver goes on writing to: two aligned 64-bit reads,
/// never repeated. Split rings, packed rings and indirect tables differ only in where the second word keeps what.
/// </summary>
/// <param name="Address">First byte of the buffer (or of an indirect table).</param>
/// <param name="Word">Length in the low half; flags and next (split) or id and flags (packed) in the high half.</param>
internal readonly record struct VirtqDescriptor(ulong Address, ulong Word)
{
    public const int Size = 16;

    /// <summary>VIRTQ_DESC_F_NEXT.</summary>
    public const ushort Next = 1;

    /// <summary>VIRTQ_DESC_F_WRITE.</summary>
    public const ushort Write = 2;

    /// <summary>VIRTQ_DESC_F_INDIRECT.</summary>
    public const ushort Indirect = 4;

    /// <summary>VIRTQ_DESC_F_AVAIL (packed).</summary>
    public const ushort Available = 1 << 7;

    /// <summary>VIRTQ_DESC_F_USED (packed).</summary>
    public const ushort Used = 1 << 15;

    public uint Length => (uint)Word;

    public ushort SplitFlags => (ushort)(Word >> 32);

    public ushort SplitNext => (ushort)(Word >> 48);

    public ushort PackedId => (ushort)(Word >> 32);

    public ushort PackedFlags => (ushort)(Word >> 48);

    /// <summary>Reads a descriptor. The second word first, with acquire semantics: it holds the packed ring's flags.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe VirtqDescriptor Read(byte* at)
    {
        // SAFETY: the caller has bounded the index; rings are 16-byte aligned, so that both reads are single accesses.
        ulong word = Volatile.Read(ref *(ulong*)(at + 8));
        return new VirtqDescriptor(Volatile.Read(ref *(ulong*)at), word);
    }
}
