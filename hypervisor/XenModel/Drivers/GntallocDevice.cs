using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Memory;

namespace XenModel.Drivers;

/// <summary>One open of gntalloc in a domain: pages of the domain, granted to another.</summary>
internal sealed class GntallocDevice(Hypervisor hypervisor, Domain caller)
{
    // Linux's default, for all opens of a domain together; here for each.
    private const int Limit = 1024;

    // Where a translated domain has room that its builder never uses; an entry of version 1 holds 32 bits.
    private const ulong FirstTranslatedGfn = 1UL << 28;

    private int _count;

    /// <summary>0, -ENOSPC, -ENOMEM, -EINVAL.</summary>
    public int Allocate(ushort domid, ushort flags, Span<uint> references, out MappedPages? pages)
    {
        pages = null;
        if ((flags & ~Gntalloc.FlagWritable) != 0) return -LibC.EINVAL;
        lock (hypervisor.Gate)
        {
            if (references.Length > Limit - _count) return -LibC.ENOSPC;
            var allocated = new MappedPages(hypervisor, references.Length) { Writable = true };
            for (int i = 0; i < references.Length; i++)
            {
                int result = AllocateOne(domid, flags, allocated, i, out references[i]);
                if (result == 0) continue;
                allocated.Release();
                return result;
            }

            pages = allocated;
            return 0;
        }
    }

    private int AllocateOne(ushort domid, ushort flags, MappedPages pages, int page, out uint reference)
    {
        reference = 0;
        if (TryTakePage() is not { } gfn) return -LibC.ENOMEM;
        FrameReference frame = caller.P2m[gfn].Reference;
        if (!caller.GrantAllocator.TryGrant(domid, gfn, (flags & Gntalloc.FlagWritable) == 0, out uint granted))
        {
            caller.P2m.Remove(gfn);
            return -LibC.ENOSPC;
        }

        _count++;
        frame.AddReference();
        pages.Set(page, frame);
        pages.WhenReleased(() =>
        {
            _count--;
            if (!caller.IsDying) caller.GrantAllocator.Revoke(granted, () => caller.P2m.Remove(gfn));
        });
        reference = granted;
        return 0;
    }

    private ulong? TryTakePage()
    {
        if (!caller.IsTranslated) return caller.P2m.TryAllocate();
        for (ulong gfn = FirstTranslatedGfn; ; gfn++)
        {
            if (!caller.P2m[gfn].HoldsFrame) return caller.P2m.TryPopulate(gfn) ? gfn : null;
        }
    }
}
