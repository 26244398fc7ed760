using System.Runtime.InteropServices;
using VhostXen.Linux;
using XenMemoryProvider.Abi;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Kernel.Linux;

/// <summary>/dev/xen/gntalloc.</summary>
internal sealed unsafe class LinuxGntalloc : IGntalloc, IXenMappingOwner
{
    private readonly FileDescriptor _gntalloc = XenDevice.Open("xen-gntalloc", O_RDWR, "/dev/xen/gntalloc");

    public XenMapping Allocate(ushort domid, bool writable, Span<uint> references)
    {
        ArgumentOutOfRangeException.ThrowIfZero(references.Length);
        var argument = (Gntalloc.AllocGref*)NativeMemory.AllocZeroed(Gntalloc.AllocGrefHeaderSize + ((nuint)references.Length * sizeof(uint)));
        try
        {
            argument->Domid = domid;
            argument->Flags = writable ? Gntalloc.FlagWritable : (ushort)0;
            argument->Count = (uint)references.Length;
            XenException.Check(XenDevice.Ioctl(_gntalloc, Gntalloc.IoctlAllocGref, argument), "GNTALLOC_ALLOC_GREF", domid);
            // SAFETY: the driver wrote Count references.
            new ReadOnlySpan<uint>(&argument->GrefId0, references.Length).CopyTo(references);
            return Map(domid, argument->Index, references.Length);
        }
        finally
        {
            NativeMemory.Free(argument);
        }
    }

    public void Unmapped(XenMapping mapping, ulong token)
    {
        if (!_gntalloc.IsClosed) Release(token, mapping.Pages); // A closed device released everything.
    }

    public void Dispose() => _gntalloc.Dispose();

    private XenMapping Map(ushort domid, ulong index, int pages)
    {
        try
        {
            MappedMemory memory = XenDevice.Map(_gntalloc, "GNTALLOC_ALLOC_GREF", domid, index, (nuint)pages * XenPage.Size, PROT_READ | PROT_WRITE);
            return new XenMapping(memory, this, index);
        }
        catch
        {
            Release(index, pages);
            throw;
        }
    }

    private void Release(ulong index, int pages)
    {
        var free = new Gntalloc.DeallocGref { Index = index, Count = (uint)pages };
        _ = XenDevice.Ioctl(_gntalloc, Gntalloc.IoctlDeallocGref, &free);
    }
}
