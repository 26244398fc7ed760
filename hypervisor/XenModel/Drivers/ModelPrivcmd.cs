using System.Diagnostics;
using System.Runtime.InteropServices;
using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenModel.Domains;

namespace XenModel.Drivers;

/// <summary>privcmd in this process.</summary>
internal sealed class ModelPrivcmd(Hypervisor hypervisor, Domain caller) : IPrivcmd
{
    private readonly PrivcmdDevice _device = new(hypervisor, caller);
    private bool _disposed;

    public XenMapping MapForeign(ushort domid, ReadOnlySpan<ulong> gfns, int prot, Span<int> errors, TimeSpan pagingTimeout)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfZero(gfns.Length);
        ArgumentOutOfRangeException.ThrowIfNotEqual(errors.Length, gfns.Length);
        var pages = new MappedPages(hypervisor, gfns.Length) { Writable = (prot & LibC.PROT_WRITE) != 0 };
        int result = _device.MapForeign(domid, gfns, pages, 0, errors);
        if (result < 0) throw new XenException("MMAPBATCH_V2", domid, -result);
        long start = Stopwatch.GetTimestamp();
        while (errors.Contains(-LibC.ENOENT) && Stopwatch.GetElapsedTime(start) < pagingTimeout)
        {
            Thread.Sleep(1);
            for (int i = 0; i < gfns.Length; i++)
            {
                if (errors[i] == -LibC.ENOENT) _device.MapForeign(domid, gfns.Slice(i, 1), pages, i, errors.Slice(i, 1));
            }
        }

        return Map(pages, prot, "MMAPBATCH_V2", domid);
    }

    public XenMapping MapResource(ushort domid, MemoryOp.ResourceType type, uint id, uint frame, int count)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        XenException.Check(_device.MapResource(domid, type, id, frame, count, out MappedPages? pages), $"MMAP_RESOURCE {type} {id}", domid);
        return Map(pages!, LibC.PROT_READ | LibC.PROT_WRITE, "MMAP_RESOURCE", domid);
    }

    public ulong GetResourceSize(ushort domid, MemoryOp.ResourceType type, uint id)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        XenException.Check(_device.ResourceSize(domid, type, id, out ulong count), $"MMAP_RESOURCE {type} {id}", domid);
        return count;
    }

    public int DmOp(ushort domid, ref DmOp.Call call, Span<byte> extra = default)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return _device.DmOp(domid, MemoryMarshal.AsBytes(new Span<DmOp.Call>(ref call)), extra);
    }

    public HypercallBuffer AllocateBuffer(int bytes) =>
        new(MappedMemory.Anonymous(XenPage.RoundUp((nuint)Math.Max(bytes, 1))), neverFaults: true);

    public int Hypercall(in Privcmd.Hypercall call, HypercallBuffer buffer)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        int result = _device.Hypercall(call, new CallerMemory(buffer.Used, buffer.Address));
        GC.KeepAlive(buffer);
        return result;
    }

    public void Restrict(ushort domid)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        XenException.Check(_device.Restrict(domid), "PRIVCMD_RESTRICT", domid);
    }

    public void Dispose() => _disposed = true;

    private static XenMapping Map(MappedPages pages, int prot, string call, ushort domid)
    {
        MappedMemory range;
        try
        {
            range = PageMapper.Reserve(pages.Count);
        }
        catch
        {
            pages.Release();
            throw;
        }

        int result = PageMapper.Map(range, pages, 0, pages.Count, prot);
        if (result == 0) return new XenMapping(range, new Owner(pages));
        range.Dispose();
        pages.Release();
        throw new XenException(call, domid, -result);
    }

    private sealed class Owner(MappedPages pages) : IXenMappingOwner
    {
        public void Unmapped(XenMapping mapping, ulong token) => pages.Release();
    }
}
