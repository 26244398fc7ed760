using VhostXen.Linux;
using XenModel.Memory;
using static VhostXen.Linux.LibC;

namespace XenModel.Drivers;

/// <summary>Puts pages of the model into this process's address space, as a driver's mmap would.</summary>
internal static unsafe class PageMapper
{
    /// <summary>An inaccessible range for so many pages.</summary>
    /// <exception cref="SystemCallException">ENOMEM.</exception>
    public static MappedMemory Reserve(int pages) =>
        MappedMemory.Anonymous((nuint)pages * FramePool.PageSize, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);

    /// <summary>Maps what a part of the pages has over their places. Empty ones stay inaccessible.</summary>
    /// <returns>0 or a negative errno.</returns>
    public static int Map(MappedMemory range, MappedPages pages, int first, int count, int prot)
    {
        foreach (MappedPages.Run run in pages.Runs(first, count))
        {
            using FileDescriptor.Borrowed fd = run.Frame.Pool.File.Borrow();

            // SAFETY: the place lies in a range that this process reserved for these pages and that its owner keeps.
            void* place = range.Pointer + (nuint)run.Page * FramePool.PageSize;
            void* mapped = mmap(place, (nuint)run.Count * FramePool.PageSize, prot, MAP_SHARED | MAP_FIXED, fd.Value, (long)run.Frame.Frame * FramePool.PageSize);
            if ((nint)mapped == MAP_FAILED) return -errno;
        }

        return 0;
    }
}
