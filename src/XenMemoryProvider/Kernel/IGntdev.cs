using XenMemoryProvider.Abi;

namespace XenMemoryProvider.Kernel;

/// <summary>
/// One open of /dev/xen/gntdev. Any thread may call. This is the data plane: results are 0 or a negative errno, nothing
/// is allocated, and the caller owns each mapping until it gives it to <see cref="Unmap"/>.
/// </summary>
public interface IGntdev : IDisposable
{
    /// <summary>Maps grants one after the other: all of them or none.</summary>
    /// <param name="references">At least one.</param>
    /// <param name="writable">False for grants that are read-only: mapping one of those for writing fails.</param>
    /// <returns>0; -EINVAL: a grant is revoked, read-only, another domain's or out of range (the kernel does not say which); -ENOMEM.</returns>
    int Map(ReadOnlySpan<GrantReference> references, bool writable, out GrantMapping mapping);

    /// <summary>Unmaps whole, then gives the grants back: after this the granter may reuse its pages.</summary>
    /// <returns>0, or a negative errno: a mistake of the caller.</returns>
    int Unmap(in GrantMapping mapping);

    /// <summary>Copies between local memory and grants. Local memory stays in place until this returns.</summary>
    /// <param name="segments">Each has a grant on one side at least. Its status is written.</param>
    /// <returns>0: look at each status; -EINVAL: a segment without a grant or over a page's end; -EFAULT: bad local memory.</returns>
    int Copy(Span<Gntdev.GrantCopySegment> segments);

    /// <summary>Says what happens when a page is unmapped, also by the death of this process.</summary>
    /// <param name="clearByteOffset">Byte to zero, from the start of the mapping; null for none. Needs a writable mapping.</param>
    /// <param name="port">Event channel of this kernel to notify; null for none.</param>
    /// <returns>0 or a negative errno.</returns>
    int SetUnmapNotify(in GrantMapping mapping, ulong? clearByteOffset, uint? port);
}
