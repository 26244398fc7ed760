using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenModel.Domains;

namespace XenModel.Drivers;

/// <summary>gntalloc in this process.</summary>
internal sealed class ModelGntalloc(Hypervisor hypervisor, Domain caller) : IGntalloc
{
    private readonly GntallocDevice _device = new(hypervisor, caller);

    public XenMapping Allocate(ushort domid, bool writable, Span<uint> references)
    {
        ArgumentOutOfRangeException.ThrowIfZero(references.Length);
        XenException.Check(_device.Allocate(domid, writable ? Gntalloc.FlagWritable : (ushort)0, references, out MappedPages? pages), "GNTALLOC_ALLOC_GREF", domid);
        try
        {
            MappedMemory range = PageMapper.Reserve(pages!.Count);
            int result = PageMapper.Map(range, pages, 0, pages.Count, LibC.PROT_READ | LibC.PROT_WRITE);
            if (result == 0) return new XenMapping(range, new Owner(pages));
            range.Dispose();
            throw new XenException("GNTALLOC_ALLOC_GREF", domid, -result);
        }
        catch
        {
            pages!.Release();
            throw;
        }
    }

    // A mapping outlives the open of the device, as it does in Linux.
    public void Dispose()
    {
    }

    private sealed class Owner(MappedPages pages) : IXenMappingOwner
    {
        public void Unmapped(XenMapping mapping, ulong token) => pages.Release();
    }
}
