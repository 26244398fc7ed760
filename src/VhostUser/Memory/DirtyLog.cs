using VhostUser.Protocol;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace VhostUser.Memory;

/// <summary>
/// The shared bitmap of SET_LOG_BASE: one bit per 4 KiB page from guest address 0, least significant first,
/// set atomically by every writer. Addresses past its end are not logged.
/// </summary>
public sealed unsafe class DirtyLog : IDisposable
{
    private const int PageShift = 12;
    private readonly MappedMemory _memory;
    private readonly uint* _words;
    private readonly ulong _pages;

    private DirtyLog(MappedMemory memory, ulong slack, ulong size)
    {
        _memory = memory;
        _words = (uint*)(memory.Pointer + slack);
        _pages = size * 8;
    }

    /// <summary>Maps the bitmap.</summary>
    /// <param name="fd">The file; the caller closes it.</param>
    /// <param name="offset">Where the bitmap starts in the file, a multiple of 4 bytes.</param>
    /// <param name="size">Bytes of bitmap.</param>
    /// <exception cref="GuestMemoryException">The bitmap does not lie inside the file (CVE-2020-10722).</exception>
    public static DirtyLog Map(FileDescriptor fd, ulong offset, ulong size)
    {
        SharedFile.SealAgainstShrinking(fd);
        ulong fileSize = SharedFile.Length(fd);
        if (size == 0 || offset > fileSize || size > fileSize - offset || offset % sizeof(uint) != 0 || size > 1UL << 40)
            throw new GuestMemoryException($"dirty log of 0x{size:x} bytes at 0x{offset:x} does not lie inside its file of 0x{fileSize:x} bytes");

        ulong slack = offset & SharedFile.PageMask(fd);
        try
        {
            MappedMemory memory = MappedMemory.Map(fd, (offset - slack), (nuint)(size + slack), PROT_READ | PROT_WRITE, MAP_SHARED);
            return new DirtyLog(memory, slack, size);
        }
        catch (IOException e)
        {
            throw new GuestMemoryException($"dirty log cannot be mapped: {e.Message}", e);
        }
    }

    /// <summary>Whether every page of a range has a bit.</summary>
    public bool Covers(GuestAddress address, ulong length)
        => length == 0 || (address.Value <= ulong.MaxValue - (length - 1) && (address.Value + (length - 1)) >> PageShift < _pages);

    /// <summary>Marks the pages of a range, after they were written.</summary>
    public void Mark(GuestAddress address, ulong length)
    {
        if (length == 0)
            return;

        ulong first = address.Value >> PageShift;
        ulong last = (address.Value + Math.Min(length - 1, ulong.MaxValue - address.Value)) >> PageShift;
        for (ulong page = first; page <= last && page < _pages; page++)
        {
            uint bit = 1u << (int)(page & 31);
            ref uint word = ref _words[page >> 5];

            // The read first: most pages are dirty already, and a locked write would take the line from the front-end.
            // Interlocked.Or is a full fence: the page's contents are visible before its bit is.
            if ((Volatile.Read(ref word) & bit) == 0)
                Interlocked.Or(ref word, bit);
        }
    }

    public void Dispose() => _memory.Dispose();
}
