using System.Runtime.InteropServices;
using VhostUser.Memory;
using VhostUser.Protocol;

namespace VhostUser.Queues;

/// <summary>
/// Walks indirect descriptor tables (virtio 1.3, 2.7.5.3 and 2.8.7). A table is ordinary guest memory: it may cross
/// regions, be granted, or lie behind an IOMMU. It is copied in windows, so each entry is read once per visit.
/// </summary>
internal sealed class IndirectTable
{
    /// <summary>
    /// A chain must not be longer than the ring (2.7.5.3.1), but small rings with long tables are common
    /// (a ring of 16 under a network driver with 19 fragments) and peers take up to 1024: so do we.
    /// </summary>
    public const int ToleratedChain = 1024;

    private const int MaxEntries = 65536;
    private const int WindowEntries = 32;

    private readonly ulong[] _window = new ulong[WindowEntries * 2];
    private readonly List<GuestRange> _pieces = [];

    /// <summary>Why the last call answered <see cref="PopResult.Broken"/>.</summary>
    public string Cause { get; private set; } = "";

    /// <summary>Appends the table's buffers to a chain.</summary>
    /// <param name="chain">Receives them.</param>
    /// <param name="table">The descriptor that refers to the table; its flags have been looked at.</param>
    /// <param name="linked">True for split rings, whose entries are linked; a packed ring takes all, in order.</param>
    /// <param name="limit">Buffers that the chain may have in all.</param>
    /// <param name="memory">Where to read.</param>
    /// <param name="iotlb">Translates the table's address, or null.</param>
    /// <returns><see cref="PopResult.Chain"/>; Broken with <see cref="Cause"/>; Empty when the translation is missing.</returns>
    public PopResult AppendTo(DescriptorChain chain, in VirtqDescriptor table, bool linked, int limit, GuestMemoryMap memory, Iotlb? iotlb)
    {
        uint bytes = table.Length;
        if (bytes == 0 || bytes % VirtqDescriptor.Size != 0 || bytes / VirtqDescriptor.Size > MaxEntries)
            return Break($"an indirect table of {bytes} bytes");

        if (bytes - 1 > ulong.MaxValue - table.Address)
            return Break("an indirect table past the end of the address space");

        if (iotlb is not null)
        {
            switch (Translate(table, iotlb))
            {
                case TranslateResult.Missing:
                    return PopResult.Empty;
                case TranslateResult.TooScattered:
                    return Break($"an indirect table of {bytes} bytes in more than {Iotlb.Capacity} pieces");
            }
        }

        uint entries = bytes / VirtqDescriptor.Size;
        if (!linked && entries > limit)
            return Break($"an indirect table of {entries} entries where {limit} are allowed");

        return Walk(chain, table.Address, entries, linked, limit, memory, iotlb is not null);
    }

    private PopResult Walk(DescriptorChain chain, ulong address, uint entries, bool linked, int limit, GuestMemoryMap memory, bool translated)
    {
        uint start = 0;
        uint end = 0;
        uint index = 0;
        while (true)
        {
            if (chain.Count == limit)
                return Break($"a chain longer than {limit} buffers, or a loop, in an indirect table");

            if (index < start || index >= end)
            {
                start = index;
                end = Math.Min(entries, index + WindowEntries);
                if (!TryFill(address, start, end - start, memory, translated))
                    return Break($"an indirect table at 0x{address:x} that lies outside guest memory");
            }

            int at = (int)(index - start) * 2;
            VirtqDescriptor entry = new(_window[at], _window[at + 1]);
            ushort flags = linked ? entry.SplitFlags : entry.PackedFlags;
            if (chain.TryAdd(entry.Address, entry.Length, (flags & VirtqDescriptor.Write) != 0) is { } refused)
                return Break(refused);

            if (!linked)
            {
                // Packed: WRITE is the only flag with a meaning here, all others are ignored (2.8.7).
                if (++index == entries)
                    return PopResult.Chain;

                continue;
            }

            if ((flags & VirtqDescriptor.Indirect) != 0)
                return Break("an indirect descriptor inside an indirect table");

            if ((flags & VirtqDescriptor.Next) == 0)
                return PopResult.Chain;

            index = entry.SplitNext;
            if (index >= entries)
                return Break($"a link to entry {index} of an indirect table of {entries}");
        }
    }

    private bool TryFill(ulong address, uint start, uint count, GuestMemoryMap memory, bool translated)
    {
        Span<byte> window = MemoryMarshal.AsBytes(_window.AsSpan(0, (int)count * 2));
        ulong offset = (ulong)start * VirtqDescriptor.Size;
        return translated ? TryReadPieces(offset, window, memory) : memory.TryRead(new GuestAddress(address + offset), window);
    }

    private bool TryReadPieces(ulong offset, Span<byte> destination, GuestMemoryMap memory)
    {
        foreach (ref readonly GuestRange piece in CollectionsMarshal.AsSpan(_pieces))
        {
            if (offset >= piece.Length)
            {
                offset -= piece.Length;
                continue;
            }

            int part = (int)Math.Min((ulong)destination.Length, piece.Length - offset);
            if (!memory.TryRead(new GuestAddress(piece.Address.Value + offset), destination[..part]))
                return false;

            destination = destination[part..];
            offset = 0;
            if (destination.IsEmpty)
                break;
        }

        return destination.IsEmpty;
    }

    private TranslateResult Translate(in VirtqDescriptor table, Iotlb iotlb)
    {
        _pieces.Clear();
        GuestRange whole = new(new GuestAddress(table.Address), table.Length, Writable: false);
        return iotlb.TryTranslate(new ReadOnlySpan<GuestRange>(in whole), _pieces);
    }

    private PopResult Break(string cause)
    {
        Cause = cause;
        return PopResult.Broken;
    }
}
