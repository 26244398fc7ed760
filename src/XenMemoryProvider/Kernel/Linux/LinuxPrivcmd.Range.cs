using System.Diagnostics;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Kernel.Linux;

/// <content>
/// Neighbouring frames in pieces. The driver holds the process's memory map for writing during a whole batch, in which
/// every page fault and every mmap of other threads waits: so a large guest is mapped as many VMAs side by side, which
/// the kernel never merges, and unmapped by one munmap over all of them, which splits none.
/// </content>
internal sealed unsafe partial class LinuxPrivcmd
{
    private const int PiecePages = 1 << 14;

    public XenMapping MapForeignRange(ushort domid, ulong firstGfn, int pages, int prot, TimeSpan pagingTimeout, Action<int, int> failed)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(pages);
        var gfns = new ulong[Math.Min(pages, PiecePages)];
        var errors = new int[gfns.Length];
        long start = Stopwatch.GetTimestamp();
        MappedMemory memory = Reserve(domid, (nuint)pages * XenPage.Size);
        try
        {
            for (int done = 0; done < pages;)
            {
                int count = Math.Min(pages - done, gfns.Length);
                for (int i = 0; i < count; i++) gfns[i] = firstGfn + (ulong)done + (ulong)i;
                byte* at = memory.Pointer + ((nuint)done << XenPage.Shift);
                TimeSpan left = pagingTimeout - Stopwatch.GetElapsedTime(start);
                MapPiece(domid, at, gfns.AsSpan(0, count), prot, errors.AsSpan(0, count), left > TimeSpan.Zero ? left : TimeSpan.Zero);
                for (int i = 0; i < count; i++)
                {
                    if (errors[i] != 0) failed(done + i, errors[i]);
                }
                done += count;
            }
            return new XenMapping(memory);
        }
        catch
        {
            memory.Dispose();
            throw;
        }
    }

    private void MapPiece(ushort domid, byte* at, ReadOnlySpan<ulong> gfns, int prot, Span<int> errors, TimeSpan pagingTimeout)
    {
        using (FileDescriptor.Borrowed fd = _privcmd.Borrow())
        {
            // SAFETY: inside our own reservation, which is unmapped as a whole: MAP_FIXED takes nobody else's memory.
            void* placed = mmap(at, (nuint)gfns.Length * XenPage.Size, prot, MAP_SHARED | MAP_FIXED, fd.Value, 0);
            if ((nint)placed == MAP_FAILED) throw new XenException("mmap for MMAPBATCH_V2", domid, errno);
        }

        // SAFETY: both arrays are pinned and as long as the piece has pages; the driver copies from and to them.
        fixed (ulong* frames = gfns)
        fixed (int* results = errors)
        {
            var batch = new Batch(_privcmd, domid, at, frames, results);
            int result = PagingRetry.Run(ref batch, errors, pagingTimeout);
            if (result < 0) throw new XenException("MMAPBATCH_V2", domid, -result);
        }
    }

    private static MappedMemory Reserve(ushort domid, nuint length)
    {
        try
        {
            return MappedMemory.Anonymous(length, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);
        }
        catch (SystemCallException e)
        {
            throw new XenException("mmap for MMAPBATCH_V2", domid, e.Error);
        }
    }
}
