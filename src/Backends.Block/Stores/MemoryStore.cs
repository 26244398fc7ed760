using VhostUser.Devices;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Backends.Block.Stores;

/// <summary>
/// A disk in this process's memory: gone when the process ends. Untouched and discarded pages take no memory.
/// All channels are the same: the mapping does not move, and guests that race on a sector get what a disk gives them.
/// </summary>
internal sealed unsafe class MemoryStore : IBlockStore
{
    private const ulong PageSize = 4096;
    private readonly MappedMemory _memory;

    /// <exception cref="StoreException">There is no room for it.</exception>
    public MemoryStore(ulong length)
    {
        Length = length;
        try
        {
            _memory = MappedMemory.Anonymous((nuint)length, flags: MAP_PRIVATE | MAP_NORESERVE);
        }
        catch (SystemCallException e)
        {
            throw new StoreException($"no memory for a disk of {length} bytes: {e.Message}", e);
        }
    }

    public StoreProperties Properties { get; } = new(
        ReadOnly: false, CanDiscard: true, PhysicalBlockSize: (uint)PageSize, DiscardGranularity: (uint)PageSize);

    public ulong Length { get; }

    public bool Refresh() => false;

    public int Flush() => 0;

    public IStoreChannel OpenChannel(VirtqueueWorker worker) => new Channel(this);

    public void Dispose() => _memory.Dispose();

    private void Execute(StoreRequest request)
    {
        // SAFETY: the caller checked that the range lies inside the store, and the buffers hold Length bytes.
        byte* at = _memory.Pointer + request.Offset;
        switch (request.Operation)
        {
            case StoreOperation.Read:
                foreach (ref readonly iovec buffer in request.Buffers.Span)
                {
                    Buffer.MemoryCopy(at, buffer.iov_base, buffer.iov_len, buffer.iov_len);
                    at += buffer.iov_len;
                }

                break;
            case StoreOperation.Write:
                foreach (ref readonly iovec buffer in request.Buffers.Span)
                {
                    Buffer.MemoryCopy(buffer.iov_base, at, buffer.iov_len, buffer.iov_len);
                    at += buffer.iov_len;
                }

                break;
            case StoreOperation.Discard:
            case StoreOperation.WriteZeroes:
                Clear(request.Offset, request.Length);
                break;
        }

        request.OnCompleted(0);
    }

    /// <summary>Gives whole pages back, which then read as zero, and clears the edges.</summary>
    private void Clear(ulong offset, ulong length)
    {
        ulong end = offset + length;
        ulong first = (offset + PageSize - 1) & ~(PageSize - 1);
        ulong last = end & ~(PageSize - 1);
        if (first >= last || madvise(_memory.Pointer + first, (nuint)(last - first), MADV_DONTNEED) < 0)
        {
            Zero(offset, end);
            return;
        }

        Zero(offset, first);
        Zero(last, end);
    }

    private void Zero(ulong start, ulong end)
        => System.Runtime.InteropServices.NativeMemory.Clear(_memory.Pointer + start, (nuint)(end - start));

    /// <summary>A queue's handle on the store, so that disposing of the queue does not dispose of the disk.</summary>
    private sealed class Channel(MemoryStore store) : IStoreChannel
    {
        public void Submit(StoreRequest request) => store.Execute(request);

        public void Poll()
        {
        }

        public void Dispose()
        {
        }
    }
}
