using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenModel.Domains;
using XenModel.EventChannels;
using XenModel.Grants;
using XenModel.Memory;

namespace XenModel.Drivers;

/// <summary>One open of gntdev in a domain: maps and copies grants, all or nothing.</summary>
internal sealed unsafe class GntdevDevice(Hypervisor hypervisor, Domain caller)
{
    // Linux's default for one request.
    private const int MaxGrants = 65536;

    /// <summary>0; -EINVAL: some grant cannot be mapped, or their number is wrong.</summary>
    public int Map(ReadOnlySpan<GrantReference> references, bool writable, out MappedPages? pages)
    {
        pages = null;
        if (references.IsEmpty || references.Length > MaxGrants) return -LibC.EINVAL;
        uint flags = GrantTableOp.MapHost | (writable ? 0 : GrantTableOp.MapReadOnly);
        lock (hypervisor.Gate)
        {
            var mapped = new MappedPages(hypervisor, references.Length) { Writable = writable };
            uint[] handles = new uint[references.Length];
            for (int i = 0; i < references.Length; i++)
            {
                if (MapOne(references[i], flags, out handles[i], out FrameReference frame) != GrantStatus.Okay)
                {
                    foreach (uint handle in handles.AsSpan(0, i)) caller.Grants.UnmapWhole(handle);
                    mapped.Release();
                    return -LibC.EINVAL;
                }

                frame.AddReference();
                mapped.Set(i, frame);
            }

            mapped.WhenReleased(() =>
            {
                foreach (uint handle in handles) caller.Grants.UnmapWhole(handle);
            });
            pages = mapped;
            return 0;
        }
    }

    /// <summary>Copies between grants and local memory, page by page of the local side.</summary>
    /// <param name="local">Where a local address is.</param>
    /// <returns>0: look at each status; or a negative errno.</returns>
    public int Copy(Span<Gntdev.GrantCopySegment> segments, CallerMemory local)
    {
        foreach (ref Gntdev.GrantCopySegment segment in segments)
        {
            int result = Check(segment, local);
            if (result != 0) return result;
            lock (hypervisor.Gate) segment.Status = CopyOne(segment, local);
        }

        return 0;
    }

    /// <summary>What happens when the pages go: first the byte, then the event.</summary>
    /// <returns>0 or -EINVAL.</returns>
    public int SetUnmapNotify(MappedPages pages, ulong byteOffset, uint action, uint port)
    {
        if ((action & ~(Gntdev.UnmapNotifyClearByte | Gntdev.UnmapNotifySendEvent)) != 0) return -LibC.EINVAL;
        lock (hypervisor.Gate)
        {
            bool clear = (action & Gntdev.UnmapNotifyClearByte) != 0;
            if (clear && (!pages.Writable || byteOffset >= (ulong)pages.Count * FramePool.PageSize)) return -LibC.EINVAL;
            bool send = (action & Gntdev.UnmapNotifySendEvent) != 0;
            if (send && caller.Events.Find(port)?.Sink is null) return -LibC.EINVAL;
            pages.WhenReleased(() =>
            {
                if (clear && pages[(int)(byteOffset / FramePool.PageSize)] is { } frame) frame.Bytes[(int)(byteOffset % FramePool.PageSize)] = 0;
                if (send) EventChannelOps.Send(caller, port);
            });
            return 0;
        }
    }

    private GrantStatus MapOne(GrantReference reference, uint flags, out uint handle, out FrameReference frame)
    {
        // The driver asks again for a page that is paged out.
        GrantStatus status;
        int tries = 0;
        do
        {
            status = caller.Grants.Map(reference.Domid, reference.Reference, flags, out handle, out frame);
        }
        while (status == GrantStatus.Eagain && ++tries < 64);

        return status;
    }

    private static int Check(in Gntdev.GrantCopySegment segment, CallerMemory local)
    {
        bool source = (segment.Flags & Gntdev.CopySourceGref) != 0, dest = (segment.Flags & Gntdev.CopyDestGref) != 0;
        if (!source && !dest) return -LibC.EINVAL;
        if (source && segment.SourceOffset + segment.Len > FramePool.PageSize) return -LibC.EINVAL;
        if (dest && segment.DestOffset + segment.Len > FramePool.PageSize) return -LibC.EINVAL;
        bool accessible = (source || local.Contains(segment.SourceVirt, segment.Len)) && (dest || local.Contains(segment.DestVirt, segment.Len));
        return accessible ? 0 : -LibC.EFAULT;
    }

    private GrantStatus CopyOne(in Gntdev.GrantCopySegment segment, CallerMemory local)
    {
        bool source = (segment.Flags & Gntdev.CopySourceGref) != 0, dest = (segment.Flags & Gntdev.CopyDestGref) != 0;
        GrantStatus status = GrantStatus.Okay;
        GrantTable.CopyWindow from = default, to = default;
        Domain? granter = null, receiver = null;
        if (source) status = Acquire(segment.SourceDomid, segment.SourceRef, readOnly: true, out granter, out from);
        if (status == GrantStatus.Okay && dest)
        {
            status = Acquire(segment.DestDomid, segment.DestRef, readOnly: false, out receiver, out to);
            if (status != GrantStatus.Okay) receiver = null;
        }

        bool claimed = status == GrantStatus.Okay;
        if (claimed && !Fits(source, segment.SourceOffset, segment.Len, from)) status = GrantStatus.GeneralError;
        if (claimed && !Fits(dest, segment.DestOffset, segment.Len, to)) status = GrantStatus.GeneralError;
        if (status == GrantStatus.Okay)
        {
            Span<byte> input = source ? from.Frame.Bytes.Slice(segment.SourceOffset, segment.Len) : Slice(local, segment.SourceVirt, segment.Len);
            Span<byte> output = dest ? to.Frame.Bytes.Slice(segment.DestOffset, segment.Len) : Slice(local, segment.DestVirt, segment.Len);
            input.CopyTo(output);
        }

        if (source && from.Frame.Pool is not null) granter!.Grants.ReleaseCopy(segment.SourceRef, readOnly: true, from.Frame);
        if (dest && to.Frame.Pool is not null) receiver!.Grants.ReleaseCopy(segment.DestRef, readOnly: false, to.Frame);
        return status;
    }

    private GrantStatus Acquire(ushort domid, uint reference, bool readOnly, out Domain? domain, out GrantTable.CopyWindow window)
    {
        window = default;
        domain = new HypercallContext(caller, null).FindAny(domid);
        if (domain is null) return GrantStatus.BadDomain;
        GrantStatus status = domain.Grants.AcquireCopy(reference, caller.Id, readOnly, allowTransitive: true, out window);
        if (status != GrantStatus.Okay) window = default;
        return status;
    }

    private static bool Fits(bool grant, int offset, int length, GrantTable.CopyWindow window) =>
        !grant || (offset >= window.Start && offset + length <= window.Start + window.Length);

    private static Span<byte> Slice(CallerMemory local, ulong address, int length) =>
        local.TrySlice(address, (uint)length, out Span<byte> bytes) ? bytes : default;
}
