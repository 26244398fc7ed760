using VhostXen.Linux;
using XenMemoryProvider.Abi;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Kernel.Linux;

/// <summary>/dev/xen/privcmd and, for hypercall arguments, /dev/xen/hypercall.</summary>
internal sealed unsafe partial class LinuxPrivcmd : IPrivcmd
{
    private const int FaultRetries = 3;

    private readonly FileDescriptor _privcmd = XenDevice.Open("xen-privcmd", O_RDWR, "/dev/xen/privcmd", "/proc/xen/privcmd");
    private readonly HypercallPages _pages = new();

    public XenMapping MapForeign(ushort domid, ReadOnlySpan<ulong> gfns, int prot, Span<int> errors, TimeSpan pagingTimeout)
    {
        ArgumentOutOfRangeException.ThrowIfZero(gfns.Length);
        ArgumentOutOfRangeException.ThrowIfNotEqual(errors.Length, gfns.Length);
        MappedMemory memory = XenDevice.Map(_privcmd, "MMAPBATCH_V2", domid, 0, (nuint)gfns.Length * XenPage.Size, prot);

        // SAFETY: both arrays are pinned and as long as the mapping has pages; the driver copies from and to them.
        fixed (ulong* frames = gfns)
        fixed (int* results = errors)
        {
            var batch = new Batch(_privcmd, domid, memory.Pointer, frames, results);
            int result = PagingRetry.Run(ref batch, errors, pagingTimeout);
            if (result >= 0) return new XenMapping(memory);
            memory.Dispose();
            throw new XenException("MMAPBATCH_V2", domid, -result);
        }
    }

    public XenMapping MapResource(ushort domid, MemoryOp.ResourceType type, uint id, uint frame, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        // A VMA of its own for every resource: a second one in the same VMA is a BUG() of the kernel in a PVH dom0.
        MappedMemory memory = XenDevice.Map(_privcmd, "MMAP_RESOURCE", domid, 0, (nuint)count * XenPage.Size, PROT_READ | PROT_WRITE);
        var resource = new Privcmd.MmapResource
        {
            Dom = domid, Type = (uint)type, Id = id, Idx = frame, Num = (ulong)count, Addr = (ulong)memory.Pointer,
        };
        int result = Resource(&resource);
        if (result >= 0) return new XenMapping(memory);
        memory.Dispose();
        throw new XenException($"MMAP_RESOURCE {type} {id}", domid, -result);
    }

    public ulong GetResourceSize(ushort domid, MemoryOp.ResourceType type, uint id)
    {
        var resource = new Privcmd.MmapResource { Dom = domid, Type = (uint)type, Id = id };
        XenException.Check(Resource(&resource), $"MMAP_RESOURCE {type} {id}", domid);
        return resource.Num;
    }

    public int DmOp(ushort domid, ref DmOp.Call call, Span<byte> extra = default)
    {
        // SAFETY: the driver pins these pages for the call, so pinned managed memory will do; both are writable.
        fixed (DmOp.Call* first = &call)
        fixed (byte* second = extra)
        {
            Privcmd.DmOpBuffer* buffers = stackalloc Privcmd.DmOpBuffer[2]
            {
                new() { Uptr = (ulong)first, Size = (ulong)sizeof(DmOp.Call) },
                new() { Uptr = (ulong)second, Size = (ulong)extra.Length },
            };
            var argument = new Privcmd.DmOpCall { Dom = domid, Num = (ushort)(extra.IsEmpty ? 1 : 2), Ubufs = (ulong)buffers };
            return XenDevice.Ioctl(_privcmd, Privcmd.IoctlDmOp, &argument);
        }
    }

    public HypercallBuffer AllocateBuffer(int bytes) => _pages.Allocate(bytes);

    public int Hypercall(in Privcmd.Hypercall call, HypercallBuffer buffer)
    {
        Privcmd.Hypercall argument = call;
        int result;
        int tries = 0;
        do
        {
            result = XenDevice.Ioctl(_privcmd, Privcmd.IoctlHypercall, &argument);
        }
        while (result == -EFAULT && !buffer.NeverFaults && ++tries <= FaultRetries);

        GC.KeepAlive(buffer);
        return result;
    }

    public void Restrict(ushort domid) => XenException.Check(XenDevice.Ioctl(_privcmd, Privcmd.IoctlRestrict, &domid), "PRIVCMD_RESTRICT", domid);

    public void Dispose()
    {
        _privcmd.Dispose();
        _pages.Dispose();
    }

    private int Resource(Privcmd.MmapResource* resource)
    {
        int result = XenDevice.Ioctl(_privcmd, Privcmd.IoctlMmapResource, resource);
        return result == -ENOTTY ? -EOPNOTSUPP : result;
    }

    /// <summary>MMAPBATCH_V2 on a part of one mapping.</summary>
    private readonly struct Batch(FileDescriptor privcmd, ushort domid, byte* address, ulong* gfns, int* errors) : IMapBatch
    {
        public int Map(int first, int count)
        {
            var batch = new Privcmd.MmapBatchV2
            {
                Num = (uint)count,
                Dom = domid,
                Addr = (ulong)address + ((ulong)first << XenPage.Shift),
                Arr = (ulong)(gfns + first),
                Err = (ulong)(errors + first),
            };
            return XenDevice.Ioctl(privcmd, Privcmd.IoctlMmapBatchV2, &batch);
        }
    }
}
