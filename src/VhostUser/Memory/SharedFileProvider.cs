using VhostUser.Protocol;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace VhostUser.Memory;

/// <summary>Guest memory as shared files (memfd, hugetlbfs, shm): what QEMU, DPDK and every KVM front-end send.</summary>
public sealed class SharedFileProvider : IGuestMemoryProvider
{
    public bool SupportsXenMmap => false;

    public RegionMapping Map(in MemoryRegion region, FileDescriptor fd)
    {
        if (region.XenFlags != XenMmapFlags.None)
            throw new GuestMemoryException($"region at {region.GuestAddress} asks for a Xen mapping ({region.XenFlags}), which this process does not offer");

        // A file cut short after this check would raise SIGBUS in whoever touches it: seal the size where the
        // front-end has left sealing open. Where it has not, it either sealed the file itself or cannot (hugetlbfs).
        SharedFile.SealAgainstShrinking(fd);
        ulong fileSize = SharedFile.Length(fd);
        if (region.MmapOffset > fileSize || region.Size > fileSize - region.MmapOffset)
            throw new GuestMemoryException($"region at {region.GuestAddress} wants bytes 0x{region.MmapOffset:x} to +0x{region.Size:x} of a file of 0x{fileSize:x} bytes");

        return new SharedFileMapping(region, fd);
    }

    private sealed unsafe class SharedFileMapping : RegionMapping
    {
        private readonly MappedMemory _memory;

        public SharedFileMapping(in MemoryRegion region, FileDescriptor fd)
        {
            // mmap wants a page-aligned offset and front-ends may send any: map from the page below it.
            ulong slack = region.MmapOffset & SharedFile.PageMask(fd);
            try
            {
                _memory = MappedMemory.Map(fd, (region.MmapOffset - slack), (nuint)(region.Size + slack), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE);
            }
            catch (IOException e)
            {
                throw new GuestMemoryException($"region at {region.GuestAddress} of 0x{region.Size:x} bytes cannot be mapped: {e.Message}", e);
            }

            Pointer = _memory.Pointer + slack;
        }

        public override void Dispose() => _memory.Dispose();
    }
}
