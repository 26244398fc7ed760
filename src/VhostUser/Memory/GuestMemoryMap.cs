using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using VhostUser.Protocol;
using VhostXen.Linux;

namespace VhostUser.Memory;

/// <summary>
/// All regions of one guest at one moment. Immutable: a change of memory makes a new map that is swapped in
/// whole, so worker threads read it without a lock. It does not own the regions; the session does.
/// </summary>
public sealed unsafe class GuestMemoryMap
{
    public static readonly GuestMemoryMap Empty = new([]);

    // Buffers of a chain that cross from region to region, so often in all: a guest has a few regions, and each piece costs
    // an iovec that is kept for the next chain.
    private const int MaxCrossings = 1024;

    // Sorted by guest address, for the binary search.
    private readonly GuestMemoryRegion[] _regions;

    public GuestMemoryMap(IEnumerable<GuestMemoryRegion> regions)
    {
        _regions = [.. regions.OrderBy(static region => region.Start)];
        for (int i = 1; i < _regions.Length; i++)
        {
            if (_regions[i - 1].Overlaps(_regions[i].Start, _regions[i].Size))
                throw new GuestMemoryException($"region at {_regions[i].Description.GuestAddress} overlaps the region at {_regions[i - 1].Description.GuestAddress}");
        }
    }

    public ImmutableArray<GuestMemoryRegion> Regions => [.. _regions];

    /// <summary>
    /// Looks up all buffers of one chain: adds an iovec per contiguous piece, readable ranges to
    /// <paramref name="readable"/> and writable ones to <paramref name="writable"/>. On
    /// <see cref="ResolveResult.OutsideMemory"/> nothing stays mapped and the lists are cleared.
    /// </summary>
    /// <param name="ranges">The chain's buffers.</param>
    /// <param name="readable">Receives what the device reads.</param>
    /// <param name="writable">Receives what the device writes.</param>
    /// <param name="canPin">False when one of the mappings cannot be pinned.</param>
    /// <param name="lease">To be released before the chain's used entry is published.</param>
    public ResolveResult Resolve(
        ReadOnlySpan<GuestRange> ranges, IovecList readable, IovecList writable, out bool canPin, out MemoryLease lease)
    {
        lease = default;
        canPin = true;
        ResolveResult result = ResolveResult.Ok;
        GuestMemoryRegion? region = null;
        int crossings = 0;
        foreach (ref readonly GuestRange range in ranges)
        {
            ulong address = range.Address.Value;
            ulong left = range.Length;
            IovecList list = range.Writable ? writable : readable;
            do
            {
                // The last region first: neighbours in a chain are neighbours in memory.
                ulong remaining = region is null ? 0 : region.Remaining(address);
                if (remaining == 0)
                {
                    region = Find(address);
                    if (region is null)
                        return Outside(readable, writable);

                    remaining = region.Remaining(address);
                }

                if (!region!.MappedInAdvance)
                    return ResolveOnDemand(ranges, readable, writable, out canPin, out lease);

                ulong part = Math.Min(left, remaining);
                ulong offset = address - region.Start;
                canPin &= region.Mapping.CanPin;
                if (region.Mapping.HasHoles && !region.Mapping.IsAccessible(offset, part))
                {
                    result = ResolveResult.Hole;
                    list.Add(null, (nuint)part);
                }
                else
                {
                    list.Add(region.Mapping.Pointer + offset, (nuint)part);
                }

                address += part;
                left -= part;
                if (left != 0 && ++crossings > MaxCrossings)
                    return Outside(readable, writable);
            }
            while (left != 0);
        }

        return result;
    }

    /// <summary>Copies out of guest memory, wherever it is. Used for indirect tables and nothing hotter.</summary>
    /// <returns>False when a byte of it is outside memory or in a hole.</returns>
    public bool TryRead(GuestAddress address, Span<byte> destination)
    {
        ulong at = address.Value;
        while (!destination.IsEmpty)
        {
            GuestMemoryRegion? region = Find(at);
            if (region is null)
                return false;

            int part = (int)Math.Min((ulong)destination.Length, region.Remaining(at));
            ulong offset = at - region.Start;
            if (region.MappedInAdvance)
            {
                if (region.Mapping.HasHoles && !region.Mapping.IsAccessible(offset, (ulong)part))
                    return false;

                // SAFETY: the part lies inside the mapping (Remaining), and its pages are there.
                new ReadOnlySpan<byte>(region.Mapping.Pointer + offset, part).CopyTo(destination);
            }
            else if (!region.Mapping.OnDemand!.TryRead(at, destination[..part]))
            {
                return false;
            }

            at += (ulong)part;
            destination = destination[part..];
        }

        return true;
    }

    /// <summary>
    /// Finds ring memory. Ring addresses are the front-end's own; front-ends under XEN_MMAP or GPA_ADDRESSES
    /// send guest addresses instead: user-address ranges of regions mapped in advance are asked first, then
    /// guest addresses.
    /// </summary>
    /// <param name="address">What SET_VRING_ADDR said.</param>
    /// <param name="length">Bytes needed, contiguous.</param>
    /// <param name="guestAddressesFirst">True when GPA_ADDRESSES is negotiated.</param>
    /// <param name="guest">The guest address found, for the dirty log.</param>
    /// <returns>The first byte, or null.</returns>
    public byte* FindRing(FrontendAddress address, ulong length, bool guestAddressesFirst, out GuestAddress guest)
    {
        byte* found = null;
        guest = default;
        if (!guestAddressesFirst)
            found = ByUserAddress(address.Value, length, out guest);

        if (found == null)
            found = ByGuestAddress(address.Value, length, out guest);

        return found;
    }

    /// <summary>Translates a front-end address to the guest address behind it (IOTLB entries name front-end addresses).</summary>
    /// <returns>False when it is in no region or runs past the region's end.</returns>
    public bool TryTranslate(FrontendAddress address, ulong length, out GuestAddress guest)
        => ByUserAddress(address.Value, length, out guest) != null;

    private byte* ByUserAddress(ulong address, ulong length, out GuestAddress guest)
    {
        foreach (GuestMemoryRegion region in _regions)
        {
            ulong user = region.Description.UserAddress.Value;
            if (region.MappedInAdvance && address >= user && address - user < region.Size)
            {
                ulong offset = address - user;
                guest = new GuestAddress(region.Start + offset);
                return Contiguous(region, offset, length);
            }
        }

        guest = default;
        return null;
    }

    private byte* ByGuestAddress(ulong address, ulong length, out GuestAddress guest)
    {
        guest = new GuestAddress(address);
        GuestMemoryRegion? region = Find(address);
        return region is { MappedInAdvance: true } ? Contiguous(region, address - region.Start, length) : null;
    }

    private static byte* Contiguous(GuestMemoryRegion region, ulong offset, ulong length)
    {
        if (length > region.Size - offset)
            return null;

        return region.Mapping.HasHoles && !region.Mapping.IsAccessible(offset, length) ? null : region.Mapping.Pointer + offset;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private GuestMemoryRegion? Find(ulong address)
    {
        int low = 0;
        int high = _regions.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) >> 1;
            GuestMemoryRegion region = _regions[middle];
            if (address < region.Start)
                high = middle - 1;
            else if (address - region.Start >= region.Size)
                low = middle + 1;
            else
                return region;
        }

        return null;
    }

    private static ResolveResult Outside(IovecList readable, IovecList writable)
    {
        readable.Clear();
        writable.Clear();
        return ResolveResult.OutsideMemory;
    }

    /// <summary>
    /// One batched map for the whole chain. All its buffers must belong to one mapper: a guest that grants
    /// grants everything (VIRTIO_F_ACCESS_PLATFORM), so a chain that mixes kinds is a broken one.
    /// </summary>
    private ResolveResult ResolveOnDemand(
        ReadOnlySpan<GuestRange> ranges, IovecList readable, IovecList writable, out bool canPin, out MemoryLease lease)
    {
        readable.Clear();
        writable.Clear();
        lease = default;
        canPin = false;
        IOnDemandMapper? mapper = null;
        foreach (ref readonly GuestRange range in ranges)
        {
            GuestMemoryRegion? region = Find(range.Address.Value);
            if (region is null || region.Remaining(range.Address.Value) < range.Length)
                return ResolveResult.OutsideMemory;

            if (region.MappedInAdvance || (mapper is not null && mapper != region.Mapping.OnDemand))
                return ResolveResult.OutsideMemory;

            mapper = region.Mapping.OnDemand;
        }

        // One call, one token: the mapper writes into a single span that is then split between the lists.
        Span<iovec> all = ranges.Length <= 256 ? stackalloc iovec[ranges.Length] : new iovec[ranges.Length];
        if (!mapper!.TryMap(ranges, all, out ulong token))
        {
            foreach (ref readonly GuestRange range in ranges)
                (range.Writable ? writable : readable).Add(null, range.Length);

            return ResolveResult.Hole;
        }

        lease = new MemoryLease(mapper, token);
        for (int i = 0; i < ranges.Length; i++)
            (ranges[i].Writable ? writable : readable).Add(all[i].iov_base, all[i].iov_len);

        return ResolveResult.Ok;
    }
}
