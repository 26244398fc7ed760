using VhostUser.Protocol;

namespace VhostUser.Memory;

/// <summary>A region together with its mapping, which it owns. Immutable, and shared between maps.</summary>
public sealed unsafe class GuestMemoryRegion : IDisposable
{
    public GuestMemoryRegion(in MemoryRegion description, RegionMapping mapping)
    {
        Description = description;
        Mapping = mapping;
        Start = description.GuestAddress.Value;
        Size = description.Size;
    }

    public MemoryRegion Description { get; }

    public RegionMapping Mapping { get; }

    /// <summary>First guest address.</summary>
    public ulong Start { get; }

    /// <summary>Bytes.</summary>
    public ulong Size { get; }

    public bool MappedInAdvance => Mapping.Pointer != null;

    /// <summary>Bytes from <paramref name="address"/> to the region's end, or 0 when it lies outside.</summary>
    public ulong Remaining(ulong address) => address >= Start && address - Start < Size ? Size - (address - Start) : 0;

    public bool Overlaps(ulong start, ulong size) => start <= Start + (Size - 1) && Start <= start + (size - 1);

    public void Dispose() => Mapping.Dispose();
}
