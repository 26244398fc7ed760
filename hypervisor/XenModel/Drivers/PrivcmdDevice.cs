using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Memory;

namespace XenModel.Drivers;

/// <summary>One open of privcmd in a domain: Linux's checks in front of Xen's.</summary>
internal sealed class PrivcmdDevice(Hypervisor hypervisor, Domain caller)
{
    private ushort? _restriction;

    private HypercallContext Context => new(caller, null);

    /// <summary>0 or a negative errno.</summary>
    public int Restrict(ushort domid)
    {
        lock (hypervisor.Gate)
        {
            if (_restriction is { } already && already != domid) return -LibC.EINVAL;
            _restriction = domid;
            return 0;
        }
    }

    /// <summary>Maps frames of a domain into empty places of a mapping.</summary>
    /// <param name="errors">0 or a negative errno for each.</param>
    /// <returns>0, or a negative errno and nothing done.</returns>
    public int MapForeign(ushort domid, ReadOnlySpan<ulong> gfns, MappedPages pages, int first, Span<int> errors)
    {
        lock (hypervisor.Gate)
        {
            if (_restriction is { } only && only != domid) return -LibC.EPERM;
            if (gfns.IsEmpty) return -LibC.EINVAL;
            Domain? domain = Context.FindAny(domid);
            int refused = Refusal(domid, domain);
            for (int i = 0; i < gfns.Length; i++)
            {
                errors[i] = refused != 0 ? refused : MapOne(domain!, gfns[i], out FrameReference frame) is var error && error == 0 ? Take(pages, first + i, frame) : error;
            }

            return 0;
        }
    }

    /// <summary>0, or a negative errno.</summary>
    public int MapResource(ushort domid, MemoryOp.ResourceType type, uint id, uint frame, int count, out MappedPages? pages)
    {
        pages = null;
        lock (hypervisor.Gate)
        {
            if (_restriction is { } only && only != domid) return -LibC.EPERM;
            if (count <= 0) return -LibC.EINVAL;
            var frames = new FrameReference[count];
            int result = MemoryOps.ResourceFrames(Context, domid, type, id, frame, frames);
            if (result != 0) return result;
            pages = new MappedPages(hypervisor, count) { Writable = true };
            for (int i = 0; i < count; i++) pages.Set(i, frames[i]);
            return 0;
        }
    }

    /// <summary>0, or a negative errno.</summary>
    public int ResourceSize(ushort domid, MemoryOp.ResourceType type, uint id, out ulong count)
    {
        count = 0;
        lock (hypervisor.Gate)
        {
            if (_restriction is { } only && only != domid) return -LibC.EPERM;
            int result = MemoryOps.ResourceSize(Context, domid, type, id, out uint frames);
            count = frames;
            return result;
        }
    }

    /// <summary>0 or more, or a negative errno.</summary>
    public int DmOp(ushort domid, Span<byte> first, Span<byte> second)
    {
        lock (hypervisor.Gate)
        {
            if (_restriction is { } only && only != domid) return -LibC.EPERM;
        }

        if (second.Length > Privcmd.DmOpMaxBufferSize) return -LibC.E2BIG;
        return hypervisor.DmOp(Context, domid, second.IsEmpty ? 1 : 2, first, second);
    }

    /// <summary>What Xen answered, or -EPERM on a restricted handle.</summary>
    public int Hypercall(in Privcmd.Hypercall call, CallerMemory memory)
    {
        lock (hypervisor.Gate)
        {
            if (_restriction is not null) return -LibC.EPERM;
        }

        return hypervisor.Hypercall(Context, call, memory);
    }

    private int Refusal(ushort domid, Domain? domain)
    {
        // Xen wants SELF for oneself.
        if (domain is null || domid == caller.Id) return -LibC.ESRCH;
        if (!Context.MayTarget(domain)) return -LibC.EPERM;
        return caller.IsTranslated && (!caller.IsHardwareDomain || domain == caller) ? domain == caller ? -LibC.EINVAL : -LibC.EPERM : 0;
    }

    private int MapOne(Domain domain, ulong gfn, out FrameReference frame)
    {
        frame = default;
        int fault = hypervisor.Faults.NextPageError(domain);
        if (fault != 0) return -fault;
        P2mEntry entry = domain.P2m[gfn];
        if (entry.IsPaged)
        {
            domain.P2m.RequestPageIn(gfn);
            return -LibC.ENOENT;
        }

        if (!entry.IsRam || entry.Pool != domain.Frames) return -LibC.EINVAL;
        frame = entry.Reference;
        return 0;
    }

    private static int Take(MappedPages pages, int page, FrameReference frame)
    {
        if (pages[page] is not null) return -LibC.EINVAL;
        frame.AddReference();
        pages.Set(page, frame);
        return 0;
    }
}
