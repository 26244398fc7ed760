using System.Runtime.CompilerServices;
using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Memory;

namespace XenModel.Grants;

internal static partial class GrantTableOps
{
    private static GrantStatus Map(HypercallContext context, ref GrantTableOp.MapGrantRef argument, CallerMemory memory)
    {
        GrantTable table = context.Caller.Grants;
        argument.Status = table.Map(argument.Dom, argument.Ref, argument.Flags, out uint handle, out FrameReference frame);
        if (argument.Status != GrantStatus.Okay) return argument.Status;
        if ((argument.Flags & GrantTableOp.MapHost) != 0 && !TryPlace(context, argument.HostAddr, argument.Flags, frame))
        {
            table.UnmapWhole(handle);
            return argument.Status = GrantStatus.GeneralError;
        }

        argument.Handle = handle;
        argument.DevBusAddr = frame.Mfn << FramePool.PageShift;
        return argument.Status;
    }

    private static GrantStatus Unmap(HypercallContext context, ref GrantTableOp.UnmapGrantRef argument, CallerMemory memory)
    {
        GrantTable table = context.Caller.Grants;
        if (table.Tracked.Find(argument.Handle) is not { } entry) return argument.Status = GrantStatus.BadHandle;
        uint sides = 0;
        if (argument.DevBusAddr != 0 && (entry.Flags & GrantTableOp.MapDevice) != 0)
        {
            if (argument.DevBusAddr != entry.Frame.Mfn << FramePool.PageShift) return argument.Status = GrantStatus.BadDevAddr;
            sides |= GrantTableOp.MapDevice;
        }

        if (argument.HostAddr != 0 && (entry.Flags & GrantTableOp.MapHost) != 0)
        {
            if (!TryTakeAway(context, argument.HostAddr, entry)) return argument.Status = GrantStatus.GeneralError;
            sides |= GrantTableOp.MapHost;
        }

        table.Unmap(argument.Handle, entry, sides);
        return argument.Status = GrantStatus.Okay;
    }

    // Moves a page table entry of a PV guest; the model's PV callers have none.
    private static GrantStatus UnmapAndReplace(HypercallContext context, ref GrantTableOp.UnmapAndReplace argument, CallerMemory memory) =>
        argument.Status = context.Caller.Grants.Tracked.Find(argument.Handle) is null ? GrantStatus.BadHandle : GrantStatus.GeneralError;

    private static unsafe GrantStatus Copy(HypercallContext context, ref GrantTableOp.Copy argument, CallerMemory memory)
    {
        const bool transitiveGrants = true;
        bool sourceGrant = (argument.Flags & GrantTableOp.CopySourceGref) != 0;
        bool destGrant = (argument.Flags & GrantTableOp.CopyDestGref) != 0;
        GrantStatus status = FindSide(context, argument.Source.Domid, sourceGrant, out Domain? source);
        if (status != GrantStatus.Okay) return argument.Status = status;
        status = FindSide(context, argument.Dest.Domid, destGrant, out Domain? dest);
        if (status != GrantStatus.Okay) return argument.Status = status;

        ushort user = context.Caller.Id;
        status = Claim(source!, argument.Source, sourceGrant, user, readOnly: true, transitiveGrants, out GrantTable.CopyWindow from);
        if (status != GrantStatus.Okay) return argument.Status = status;
        status = Claim(dest!, argument.Dest, destGrant, user, readOnly: false, transitiveGrants, out GrantTable.CopyWindow to);
        if (status == GrantStatus.Okay)
        {
            status = CopyBytes(argument, from, to);
            Release(dest!, argument.Dest, destGrant, readOnly: false, to);
        }

        Release(source!, argument.Source, sourceGrant, readOnly: true, from);
        return argument.Status = status;
    }

    private static unsafe GrantStatus CopyBytes(in GrantTableOp.Copy argument, GrantTable.CopyWindow from, GrantTable.CopyWindow to)
    {
        int length = argument.Len, source = argument.Source.Offset, dest = argument.Dest.Offset;
        if (source + length > FramePool.PageSize || dest + length > FramePool.PageSize) return GrantStatus.BadCopyArg;
        if (source < from.Start || source + length > from.Start + from.Length) return GrantStatus.GeneralError;
        if (dest < to.Start || dest + length > to.Start + to.Length) return GrantStatus.GeneralError;

        // SAFETY: both stay within their pages, as just checked, and both frames have a reference of ours.
        byte* read = from.Frame.Page + source, write = to.Frame.Page + dest;
        if (from.Frame == to.Frame && dest > source && dest < source + length) CopyUpwards(read, write, length);
        else Buffer.MemoryCopy(read, write, length, length);
        return GrantStatus.Okay;
    }

    // Xen's memcpy goes up, by words and then by bytes: bytes that lie in both places are copied over and over.
    private static unsafe void CopyUpwards(byte* from, byte* to, int length)
    {
        int words = length / sizeof(ulong);
        for (int i = 0; i < words; i++) Unsafe.WriteUnaligned(to + i * sizeof(ulong), Unsafe.ReadUnaligned<ulong>(from + i * sizeof(ulong)));
        for (int i = words * sizeof(ulong); i < length; i++) to[i] = from[i];
    }

    private static GrantStatus FindSide(HypercallContext context, ushort domid, bool grant, out Domain? domain)
    {
        domain = null;
        if (!grant && domid != Domid.Self) return GrantStatus.PermissionDenied;
        domain = context.FindAny(domid);
        return domain is null ? GrantStatus.BadDomain : GrantStatus.Okay;
    }

    private static GrantStatus Claim(
        Domain domain, GrantTableOp.CopyPointer side, bool grant, ushort user, bool readOnly, bool transitive, out GrantTable.CopyWindow window)
    {
        window = default;
        if (grant) return domain.Grants.AcquireCopy(side.Ref, user, readOnly, transitive, out window);
        P2mEntry entry = domain.P2m[side.Gmfn];
        if (entry.IsPaged)
        {
            domain.P2m.RequestPageIn(side.Gmfn);
            return GrantStatus.Eagain;
        }

        if (!entry.IsRam) return GrantStatus.BadPage;
        entry.Reference.AddReference();
        window = new GrantTable.CopyWindow(entry.Reference, 0, FramePool.PageSize);
        return GrantStatus.Okay;
    }

    private static void Release(Domain domain, GrantTableOp.CopyPointer side, bool grant, bool readOnly, GrantTable.CopyWindow window)
    {
        if (grant) domain.Grants.ReleaseCopy(side.Ref, readOnly, window.Frame);
        else window.Frame.Release();
    }

    // A PV guest gives a page away: it reappears, with its bytes, where the receiver said.
    private static unsafe GrantStatus Transfer(HypercallContext context, ref GrantTableOp.Transfer argument, CallerMemory memory)
    {
        Domain caller = context.Caller;
        if (caller.IsTranslated) return argument.Status = GrantStatus.GeneralError;
        P2mEntry entry = caller.P2m[argument.Mfn];
        if (!entry.IsRam || caller.Frames.References(entry.Frame) != 1) return argument.Status = entry.IsRam ? GrantStatus.GeneralError : GrantStatus.BadPage;
        FrameReference page = entry.Reference;
        page.AddReference();
        caller.P2m.Remove(argument.Mfn);
        argument.Status = context.Find(argument.Domid) is { } receiver ? receiver.Grants.AcceptTransfer(argument.Ref, caller.Id, page) : GrantStatus.BadDomain;
        page.Release();
        return argument.Status;
    }

    // Where the caller wants the mapping. A PV caller's address would need page tables, which its processes do not have here:
    // Linux's driver makes those mappings, see the Drivers room.
    private static bool TryPlace(HypercallContext context, ulong address, uint flags, FrameReference frame)
    {
        Domain caller = context.Caller;
        ulong gfn = address >> FramePool.PageShift;
        if (!caller.IsTranslated || (address & (FramePool.PageSize - 1)) != 0 || gfn >= P2m.GfnLimit) return false;
        if (caller.P2m[gfn].IsRam) caller.LostRam(context.Vcpu);
        frame.AddReference();
        caller.P2m.Set(gfn, (flags & GrantTableOp.MapReadOnly) != 0 ? P2mType.GrantReadOnly : P2mType.GrantWritable, frame);
        return true;
    }

    private static bool TryTakeAway(HypercallContext context, ulong address, MapTrack.Entry mapping)
    {
        Domain caller = context.Caller;
        if (!caller.IsTranslated) return false;
        P2mEntry entry = caller.P2m[address >> FramePool.PageShift];
        if (!entry.IsGrant || entry.Reference != mapping.Frame) return false;
        caller.P2m.Remove(address >> FramePool.PageShift);
        return true;
    }
}
