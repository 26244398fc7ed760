using VhostXen.Linux;

namespace VhostUser.Memory;

/// <summary>
/// Maps the buffers of one descriptor chain at a time (XEN_MMAP with NO_ADVANCE_MAP: grant references).
/// Called by worker threads, several at once. Nothing is cached across chains: a guest uses references again
/// for other pages.
/// </summary>
public interface IOnDemandMapper
{
    /// <summary>Maps all ranges, or none.</summary>
    /// <param name="ranges">Ranges in regions of this mapper; device-readable ones are mapped read-only.</param>
    /// <param name="iovecs">Filled with one entry per range.</param>
    /// <param name="token">Names the mapping in <see cref="Release"/>.</param>
    /// <returns>False when the guest's references cannot be mapped.</returns>
    bool TryMap(ReadOnlySpan<GuestRange> ranges, Span<iovec> iovecs, out ulong token);

    /// <summary>
    /// Copies out of guest memory where that is cheaper than mapping: indirect tables, request headers.
    /// </summary>
    bool TryRead(ulong address, Span<byte> destination);

    /// <summary>Unmaps. Must be done before the used entry is published, or the guest's kernel disables the device.</summary>
    void Release(ulong token);
}
