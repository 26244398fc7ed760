using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace TestKit;

/// <summary>Maps shared files with an inaccessible page on either side: a touch outside the region ends the process.</summary>
public sealed class GuardedProvider : IGuestMemoryProvider
{
    public bool SupportsXenMmap => false;

    public RegionMapping Map(in MemoryRegion region, FileDescriptor fd) => new GuardedMapping(region, fd);

    private sealed unsafe class GuardedMapping : RegionMapping
    {
        private const nuint PageSize = 4096;
        private readonly MappedMemory _reservation;

        public GuardedMapping(in MemoryRegion region, FileDescriptor fd)
        {
            nuint size = (nuint)region.Size;
            _reservation = MappedMemory.Anonymous(size + (2 * PageSize), PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);

            // Inside our own reservation, which is unmapped as a whole: MAP_FIXED takes nobody else's memory.
            void* at = mmap(_reservation.Pointer + PageSize, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd.Value, (long)region.MmapOffset);
            if ((nint)at == MAP_FAILED)
                throw SystemCallException.FromErrno("mmap");

            Pointer = (byte*)at;
        }

        public override void Dispose() => _reservation.Dispose();
    }
}
