using VhostXen.Linux;

namespace XenMemoryProvider.Kernel;

/// <summary>
/// Pages of another domain, or granted to one, in this process. Unmapped whole: the kernel refuses to split such a mapping.
/// Nothing that pins pages works on it (O_DIRECT, io_uring's fixed buffers): such calls get EFAULT.
/// </summary>
public sealed unsafe class XenMapping : IDisposable
{
    private readonly IXenMappingOwner? _owner;
    private readonly ulong _token;
    private int _disposed;

    /// <param name="memory">Becomes this object's.</param>
    /// <param name="owner">Is told after the pages are unmapped; null if nobody cares.</param>
    /// <param name="token">The owner's name for the mapping.</param>
    public XenMapping(MappedMemory memory, IXenMappingOwner? owner = null, ulong token = 0)
    {
        Memory = memory;
        _owner = owner;
        _token = token;
    }

    /// <summary>The mapping, for those who use it on other threads (DangerousAddRef) or as a span.</summary>
    public MappedMemory Memory { get; }

    /// <summary>The first byte. Valid until this object is disposed.</summary>
    public byte* Pointer => Memory.Pointer;

    /// <summary>In bytes.</summary>
    public nuint Length => Memory.Length;

    /// <summary>In pages.</summary>
    public int Pages => checked((int)(Memory.Length / XenPage.Size));

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        Memory.Dispose();
        _owner?.Unmapped(this, _token);
    }
}
