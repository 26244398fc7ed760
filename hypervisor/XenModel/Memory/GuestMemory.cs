using VhostXen.Linux;
using XenModel.Domains;

namespace XenModel.Memory;

/// <summary>
/// A guest's memory as its own code sees it: through its p2m. Any thread. What is not RAM is refused here; accesses that
/// device models answer are made by <see cref="Ioreq.VcpuIo"/>.
/// </summary>
public sealed unsafe class GuestMemory
{
    private readonly Domain _domain;

    internal GuestMemory(Domain domain) => _domain = domain;

    /// <summary>Copies out. False: not all of it is RAM.</summary>
    public bool TryRead(ulong address, Span<byte> bytes)
    {
        lock (_domain.Hypervisor.Gate)
        {
            while (!bytes.IsEmpty)
            {
                if (!TryPage(address, write: false, out Span<byte> rest)) return false;
                int count = Math.Min(rest.Length, bytes.Length);
                rest[..count].CopyTo(bytes);
                bytes = bytes[count..];
                address += (uint)count;
            }
        }

        return true;
    }

    /// <summary>Copies in. False: not all of it is writable RAM.</summary>
    public bool TryWrite(ulong address, ReadOnlySpan<byte> bytes)
    {
        lock (_domain.Hypervisor.Gate)
        {
            while (!bytes.IsEmpty)
            {
                if (!TryPage(address, write: true, out Span<byte> rest)) return false;
                int count = Math.Min(rest.Length, bytes.Length);
                bytes[..count].CopyTo(rest);
                bytes = bytes[count..];
                address += (uint)count;
            }
        }

        return true;
    }

    /// <exception cref="ArgumentOutOfRangeException">Not RAM.</exception>
    public T Read<T>(ulong address)
        where T : unmanaged
    {
        T value = default;
        if (!TryRead(address, new Span<byte>(&value, sizeof(T)))) throw NotRam(address);
        return value;
    }

    /// <exception cref="ArgumentOutOfRangeException">Not writable RAM.</exception>
    public void Write<T>(ulong address, T value)
        where T : unmanaged
    {
        if (!TryWrite(address, new ReadOnlySpan<byte>(&value, sizeof(T)))) throw NotRam(address);
    }

    /// <summary>
    /// Where a page of the guest is in this process: what a guest's TLB would have cached, so it goes stale when the guest
    /// gives the page away. Valid while <see cref="Hold"/>'s result is not disposed.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Not RAM.</exception>
    public byte* Pointer(ulong address)
    {
        lock (_domain.Hypervisor.Gate)
        {
            P2mEntry entry = _domain.P2m[address >> FramePool.PageShift];
            if (!entry.IsPresent) throw NotRam(address);
            return entry.Reference.Page + (address & (FramePool.PageSize - 1));
        }
    }

    /// <summary>Keeps the pages' addresses mapped, also over the domain's end.</summary>
    public IDisposable Hold() => new Holder(_domain.Frames.Memory);

    private static ArgumentOutOfRangeException NotRam(ulong address) => new(nameof(address), $"0x{address:x} is not RAM of the guest");

    private bool TryPage(ulong address, bool write, out Span<byte> rest)
    {
        P2mEntry entry = _domain.P2m[address >> FramePool.PageShift];
        rest = default;
        if (!entry.IsPresent || (write && !entry.IsWritable)) return false;
        rest = entry.Reference.Bytes[(int)(address & (FramePool.PageSize - 1))..];
        return true;
    }

    private sealed class Holder : IDisposable
    {
        private MappedMemory? _memory;

        public Holder(MappedMemory memory)
        {
            bool added = false;
            memory.DangerousAddRef(ref added);
            _memory = memory;
        }

        public void Dispose() => Interlocked.Exchange(ref _memory, null)?.DangerousRelease();
    }
}
