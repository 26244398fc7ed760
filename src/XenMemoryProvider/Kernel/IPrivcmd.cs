using XenMemoryProvider.Abi;

namespace XenMemoryProvider.Kernel;

/// <summary>
/// One open of /dev/xen/privcmd. Any thread may call. What throws belongs to the control plane; what returns an int
/// answers 0 or more, or a negative errno.
/// </summary>
public interface IPrivcmd : IDisposable
{
    /// <summary>
    /// Maps frames of a domain, one after the other. The mapping exists even if pages failed: touching those is a fault
    /// of this process. It is unmapped whole, by disposing it.
    /// </summary>
    /// <param name="domid">Whose frames.</param>
    /// <param name="gfns">Guest frame numbers, at least one.</param>
    /// <param name="prot">PROT_READ, or PROT_READ and PROT_WRITE.</param>
    /// <param name="errors">As long as <paramref name="gfns"/>. Gets 0 or a negative errno per page: EINVAL for a hole, ENOENT for a page that
    /// is paged out still.</param>
    /// <param name="pagingTimeout">How long to wait for frames that are paged out.</param>
    /// <exception cref="XenException">Nothing is mapped: EPERM: restricted to another domain or not privileged; ESRCH: no such domain;
    /// ENOMEM.</exception>
    XenMapping MapForeign(ushort domid, ReadOnlySpan<ulong> gfns, int prot, Span<int> errors, TimeSpan pagingTimeout);

    /// <summary>
    /// Maps neighbouring frames of a domain, as many as a guest has: piece by piece, so that neither this process's other
    /// threads wait for its memory map long, nor arrays of the guest's size are needed. Otherwise as
    /// <see cref="MapForeign"/>.
    /// </summary>
    /// <param name="domid">Whose frames.</param>
    /// <param name="firstGfn">The first guest frame.</param>
    /// <param name="pages">How many, at least one.</param>
    /// <param name="prot">PROT_READ, or PROT_READ and PROT_WRITE.</param>
    /// <param name="pagingTimeout">How long to wait for frames that are paged out, all pieces together.</param>
    /// <param name="failed">Called with page and negative errno for each page that is not there, in order. If it throws, nothing stays mapped.</param>
    /// <exception cref="XenException">As <see cref="MapForeign"/>.</exception>
    XenMapping MapForeignRange(ushort domid, ulong firstGfn, int pages, int prot, TimeSpan pagingTimeout, Action<int, int> failed)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(pages);
        var gfns = new ulong[pages];
        var errors = new int[pages];
        for (int i = 0; i < pages; i++) gfns[i] = firstGfn + (ulong)i;
        XenMapping mapping = MapForeign(domid, gfns, prot, errors, pagingTimeout);
        try
        {
            for (int i = 0; i < pages; i++)
            {
                if (errors[i] != 0) failed(i, errors[i]);
            }
            return mapping;
        }
        catch
        {
            mapping.Dispose();
            throw;
        }
    }

    /// <summary>Maps frames of a resource for reading and writing (XENMEM_acquire_resource).</summary>
    /// <param name="id">Which one of that type: the ioreq server, or a grant table's part.</param>
    /// <param name="frame">First frame.</param>
    /// <param name="count">Frames, at least one.</param>
    /// <exception cref="XenException">ENOENT: no such server, or a ring that it does not have; EINVAL; EPERM; ESRCH; EOPNOTSUPP: not on this
    /// kernel or of this type.</exception>
    XenMapping MapResource(ushort domid, MemoryOp.ResourceType type, uint id, uint frame, int count);

    /// <summary>How many frames a resource has. Trust it less than a mapping: Xen counts an ioreq server's pages by the most virtual CPUs.</summary>
    /// <exception cref="XenException">As <see cref="MapResource"/>.</exception>
    ulong GetResourceSize(ushort domid, MemoryOp.ResourceType type, uint id);

    /// <summary>A device-model operation. Results are written into <paramref name="call"/> and <paramref name="extra"/> only on success.</summary>
    /// <param name="extra">The second buffer of the two operations that have one; at most 4096 bytes.</param>
    /// <returns>0 or more, or a negative errno: ESRCH once the domain is gone.</returns>
    int DmOp(ushort domid, ref DmOp.Call call, Span<byte> extra = default);

    /// <summary>Memory for hypercall arguments, zeroed. Dispose it.</summary>
    /// <param name="bytes">At least; rounded up to pages.</param>
    /// <exception cref="XenException">ENOMEM.</exception>
    HypercallBuffer AllocateBuffer(int bytes);

    /// <summary>
    /// A hypercall. Every address among the arguments, and inside what they point to, lies in <paramref name="buffer"/>.
    /// See <see cref="PrivcmdExtensions"/> for the common ones.
    /// </summary>
    /// <returns>What Xen answered, or a negative errno: EPERM on a restricted handle.</returns>
    int Hypercall(in Privcmd.Hypercall call, HypercallBuffer buffer);

    /// <summary>From now on and for ever: this domain only, and no plain hypercalls.</summary>
    /// <exception cref="XenException">EINVAL: restricted to another domain already; ENOTTY: not on this kernel.</exception>
    void Restrict(ushort domid);
}
