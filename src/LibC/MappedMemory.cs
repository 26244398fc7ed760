using System.Runtime.InteropServices;
using static VhostXen.Linux.LibC;

namespace VhostXen.Linux;

/// <summary>
/// A mapping of this process, unmapped whole and once. The pointer is valid while the object is alive and not disposed:
/// whoever uses it on another thread holds a reference (DangerousAddRef).
/// </summary>
public sealed unsafe class MappedMemory : SafeHandle
{
    private MappedMemory(void* address, nuint length)
        : base(-1, ownsHandle: true)
    {
        SetHandle((nint)address);
        Length = length;
    }

    public override bool IsInvalid => handle is -1 or 0;

    public byte* Pointer => (byte*)handle;

    /// <summary>In bytes, as asked for.</summary>
    public nuint Length { get; }

    /// <summary>All of it. Only for mappings below 2 GiB.</summary>
    public Span<byte> Span => new(Pointer, checked((int)Length));

    /// <summary>mmap at an address the kernel chooses.</summary>
    /// <param name="offset">In bytes, a multiple of the page size.</param>
    /// <param name="length">In bytes, not 0.</param>
    /// <param name="prot">PROT_ flags.</param>
    /// <param name="flags">MAP_ flags; MAP_FIXED is refused.</param>
    /// <exception cref="SystemCallException">The errno of mmap.</exception>
    public static MappedMemory Map(FileDescriptor file, ulong offset, nuint length, int prot = PROT_READ | PROT_WRITE, int flags = MAP_SHARED)
    {
        if (offset > long.MaxValue)
            throw new SystemCallException("mmap", EOVERFLOW);
        using FileDescriptor.Borrowed fd = file.Borrow();
        return Map(fd.Value, (long)offset, length, prot, flags);
    }

    /// <summary>Zeroed memory outside the managed heap, page-aligned.</summary>
    /// <exception cref="SystemCallException">The errno of mmap.</exception>
    public static MappedMemory Anonymous(nuint length, int prot = PROT_READ | PROT_WRITE, int flags = MAP_PRIVATE) =>
        Map(-1, 0, length, prot, flags | MAP_ANONYMOUS);

    /// <summary>Takes over a range that the caller mapped whole, by however many calls, and will not unmap itself.</summary>
    public static MappedMemory Adopt(void* address, nuint length) => new(address, length);

    // SAFETY: nobody holds a reference when the runtime calls this, and the range is exactly what mmap gave us.
    protected override bool ReleaseHandle() => munmap((void*)handle, Length) == 0;

    private static MappedMemory Map(int fd, long offset, nuint length, int prot, int flags)
    {
        // Mapping over an address somebody else owns would unmap it behind that owner's back.
        if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) != 0)
            throw new SystemCallException("mmap", EINVAL);
        void* address = mmap(null, length, prot, flags, fd, offset);
        if ((nint)address == MAP_FAILED)
            throw SystemCallException.FromErrno("mmap");
        return new MappedMemory(address, length);
    }
}
