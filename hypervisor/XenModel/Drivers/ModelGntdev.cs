using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenModel.Domains;

namespace XenModel.Drivers;

/// <summary>gntdev in this process.</summary>
internal sealed unsafe class ModelGntdev(Hypervisor hypervisor, Domain caller) : IGntdev
{
    private readonly GntdevDevice _device = new(hypervisor, caller);
    private readonly Dictionary<ulong, (MappedPages Pages, MappedMemory Memory)> _mappings = [];
    private ulong _nextIndex;
    private bool _disposed;

    public int Map(ReadOnlySpan<GrantReference> references, bool writable, out GrantMapping mapping)
    {
        mapping = default;
        int result = _device.Map(references, writable, out MappedPages? pages);
        if (result < 0) return result;
        MappedMemory memory;
        try
        {
            memory = PageMapper.Reserve(pages!.Count);
        }
        catch (SystemCallException exhausted)
        {
            pages!.Release();
            return -exhausted.Error;
        }

        result = PageMapper.Map(memory, pages, 0, pages.Count, writable ? LibC.PROT_READ | LibC.PROT_WRITE : LibC.PROT_READ);
        if (result < 0)
        {
            memory.Dispose();
            pages.Release();
            return result;
        }

        lock (_mappings)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            mapping = new GrantMapping((nint)memory.Pointer, pages.Count, _nextIndex);
            _nextIndex += (ulong)pages.Count * XenPage.Size;
            _mappings.Add(mapping.Index, (pages, memory));
        }

        return 0;
    }

    public int Unmap(in GrantMapping mapping)
    {
        (MappedPages Pages, MappedMemory Memory) held;
        lock (_mappings)
        {
            if (!_mappings.Remove(mapping.Index, out held)) return -LibC.ENOENT;
        }

        held.Memory.Dispose();
        held.Pages.Release();
        return 0;
    }

    public int Copy(Span<Gntdev.GrantCopySegment> segments)
    {
        // Local memory is this process's own: each segment's side is a view of exactly its bytes.
        foreach (ref Gntdev.GrantCopySegment segment in segments)
        {
            bool localSource = (segment.Flags & Gntdev.CopySourceGref) == 0;
            ulong address = localSource ? segment.SourceVirt : segment.DestVirt;
            bool local = localSource || (segment.Flags & Gntdev.CopyDestGref) == 0;

            // SAFETY: the caller vouches for its local addresses, as it would to the driver.
            CallerMemory memory = local ? new CallerMemory(new Span<byte>((void*)address, segment.Len), address) : default;
            int result = _device.Copy(new Span<Gntdev.GrantCopySegment>(ref segment), memory);
            if (result < 0) return result;
        }

        return 0;
    }

    public int SetUnmapNotify(in GrantMapping mapping, ulong? clearByteOffset, uint? port)
    {
        (MappedPages Pages, MappedMemory Memory) held;
        lock (_mappings)
        {
            if (!_mappings.TryGetValue(mapping.Index, out held)) return -LibC.ENOENT;
        }

        uint action = (clearByteOffset is null ? 0 : Gntdev.UnmapNotifyClearByte) | (port is null ? 0 : Gntdev.UnmapNotifySendEvent);
        return _device.SetUnmapNotify(held.Pages, clearByteOffset.GetValueOrDefault(), action, port.GetValueOrDefault());
    }

    public void Dispose()
    {
        (MappedPages Pages, MappedMemory Memory)[] left;
        lock (_mappings)
        {
            _disposed = true;
            left = [.. _mappings.Values];
            _mappings.Clear();
        }

        foreach ((MappedPages pages, MappedMemory memory) in left)
        {
            memory.Dispose();
            pages.Release();
        }
    }
}
