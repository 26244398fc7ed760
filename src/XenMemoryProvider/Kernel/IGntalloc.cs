namespace XenMemoryProvider.Kernel;

/// <summary>One open of /dev/xen/gntalloc: pages of this domain that others may map.</summary>
public interface IGntalloc : IDisposable
{
    /// <summary>Allocates zeroed pages, one per reference, and grants them. Disposing the mapping revokes them once the grantee has unmapped.</summary>
    /// <param name="domid">The grantee.</param>
    /// <param name="writable">May the grantee write?</param>
    /// <param name="references">Gets the references; its length is the number of pages.</param>
    /// <exception cref="XenException">ENOSPC: over the kernel's limit (1024 by default).</exception>
    XenMapping Allocate(ushort domid, bool writable, Span<uint> references);
}
