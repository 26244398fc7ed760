using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Kernel.Linux;

/// <summary>
/// Pages for hypercall arguments: kernel pages by /dev/xen/hypercall, which never move; where that is absent, locked
/// anonymous ones, which the kernel may still move for a moment.
/// </summary>
internal sealed unsafe class HypercallPages : IDisposable
{
    private readonly FileDescriptor? _device = OpenDevice();

    /// <exception cref="XenException">ENOMEM; EAGAIN: over the limit of locked memory.</exception>
    internal HypercallBuffer Allocate(int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        nuint length = XenPage.RoundUp(Math.Max((nuint)bytes, 1));
        if (_device is not null)
            return new HypercallBuffer(XenDevice.Map(_device, "hypercall buffer", null, 0, length, PROT_READ | PROT_WRITE), neverFaults: true);
        return new HypercallBuffer(Locked(length), neverFaults: false);
    }

    public void Dispose() => _device?.Dispose();

    private static MappedMemory Locked(nuint length)
    {
        try
        {
            MappedMemory memory = MappedMemory.Anonymous(length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_LOCKED);
            // A fork would make these pages copy-on-write. SAFETY: exactly our own mapping.
            _ = madvise(memory.Pointer, length, MADV_DONTFORK);
            for (nuint at = 0; at < length; at += XenPage.Size) Volatile.Write(ref memory.Pointer[at], 0);
            return memory;
        }
        catch (SystemCallException e)
        {
            throw new XenException("mmap for hypercall buffer", null, e.Error, e.Error == EAGAIN ? "Raise the limit of locked memory (ulimit -l)" : null);
        }
    }

    private static FileDescriptor? OpenDevice()
    {
        try
        {
            return FileDescriptor.Open("/dev/xen/hypercall", O_RDWR);
        }
        catch (SystemCallException e) when (XenDevice.IsAbsent(e.Error))
        {
            return null; // Linux before 4.18.
        }
        catch (SystemCallException e)
        {
            throw new XenException(e.Call, null, e.Error);
        }
    }
}
