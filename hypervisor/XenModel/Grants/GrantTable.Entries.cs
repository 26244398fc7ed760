using XenMemoryProvider.Abi;
using XenModel.Memory;

namespace XenModel.Grants;

internal sealed unsafe partial class GrantTable
{
    // A guest may change an entry while Xen marks it, and rightly so now and then; one that never stands still is refused.
    private const int MarkTries = 5;

    /// <summary>Marks an entry as being read (and written) in the memory shared with the guest, if it grants that.</summary>
    /// <param name="active">Its state when it is in use already: then its type and domain were checked before.</param>
    private GrantStatus Mark(uint reference, ActiveGrant? active, bool readOnly, bool mapping, ushort user)
    {
        bool pinned = active is not null && active.Pins.Any;
        return Version == 1 ? MarkV1(reference, pinned, readOnly, mapping, user) : MarkV2(reference, pinned, readOnly, mapping, user);
    }

    private GrantStatus MarkV1(uint reference, bool pinned, bool readOnly, bool mapping, ushort user)
    {
        ref uint header = ref Header(reference);
        GrantFlags mask = mapping ? GrantFlags.TypeMask | GrantFlags.SubPage : GrantFlags.TypeMask;
        uint seen = Volatile.Read(ref header);
        for (int i = 0; i < MarkTries; i++)
        {
            var flags = (GrantFlags)(ushort)seen;
            if (!pinned && ((flags & mask) != GrantFlags.PermitAccess || (ushort)(seen >> 16) != user)) return GrantStatus.GeneralError;
            if (!readOnly && (flags & GrantFlags.ReadOnly) != 0) return GrantStatus.GeneralError;
            uint wanted = seen | (uint)(readOnly ? GrantFlags.Reading : GrantFlags.Reading | GrantFlags.Writing);
            uint was = Interlocked.CompareExchange(ref header, wanted, seen);
            if (was == seen) return GrantStatus.Okay;
            seen = was;
        }

        return GrantStatus.GeneralError;
    }

    private GrantStatus MarkV2(uint reference, bool pinned, bool readOnly, bool mapping, ushort user)
    {
        ref uint header = ref Header(reference);
        if (!pinned && !MayUse(Volatile.Read(ref header), mapping, user)) return GrantStatus.GeneralError;
        if (!readOnly && ((GrantFlags)Volatile.Read(ref header) & GrantFlags.ReadOnly) != 0) return GrantStatus.GeneralError;
        GrantFlags marks = readOnly ? GrantFlags.Reading : GrantFlags.Reading | GrantFlags.Writing;
        ref ushort status = ref StatusWord(reference);
        Or(ref status, (ushort)marks);

        // A full barrier, paired with the granter's between clearing the flags and looking at the status: one of both sees it.
        Interlocked.MemoryBarrier();
        uint again = Volatile.Read(ref header);
        bool writable = readOnly || ((GrantFlags)again & GrantFlags.ReadOnly) == 0;
        if (pinned)
        {
            if (writable) return GrantStatus.Okay;
            And(ref status, (ushort)~GrantFlags.Writing);
            return GrantStatus.GeneralError;
        }

        if (MayUse(again, mapping, user) && writable) return GrantStatus.Okay;
        And(ref status, (ushort)~(GrantFlags.Reading | GrantFlags.Writing));
        return GrantStatus.GeneralError;
    }

    private static bool MayUse(uint header, bool mapping, ushort user)
    {
        GrantFlags mask = mapping ? GrantFlags.TypeMask | GrantFlags.SubPage : GrantFlags.TypeMask;
        GrantFlags type = (GrantFlags)(ushort)header & mask;
        return (type == GrantFlags.PermitAccess || (type == GrantFlags.Transitive && !mapping)) && (ushort)(header >> 16) == user;
    }

    /// <summary>Clears the marks that no use needs any more.</summary>
    private void Unmark(uint reference, ActiveGrant? active)
    {
        if (reference >= EntryCount) return;
        GrantFlags clear = 0;
        if (active is null || !active.Pins.AnyWrite) clear |= GrantFlags.Writing;
        if (active is null || !active.Pins.Any) clear |= GrantFlags.Reading;
        if (clear == 0) return;
        if (Version == 2)
        {
            And(ref StatusWord(reference), (ushort)~clear);
            return;
        }

        Interlocked.And(ref Header(reference), ~(uint)clear);
    }

    /// <summary>The frame behind a grant, with a reference that becomes the caller's.</summary>
    private GrantStatus TakeFrame(ulong gfn, out FrameReference frame)
    {
        frame = default;
        P2mEntry entry = _domain.P2m[gfn];
        if (entry.IsPaged)
        {
            _domain.P2m.RequestPageIn(gfn);
            return GrantStatus.Eagain;
        }

        if (!entry.IsRam) return GrantStatus.BadPage;
        frame = entry.Reference;
        frame.AddReference();
        return GrantStatus.Okay;
    }

    private static void Or(ref ushort word, ushort bits)
    {
        ushort seen = Volatile.Read(ref word);
        while (true)
        {
            ushort was = Interlocked.CompareExchange(ref word, (ushort)(seen | bits), seen);
            if (was == seen) return;
            seen = was;
        }
    }

    private static void And(ref ushort word, ushort bits)
    {
        ushort seen = Volatile.Read(ref word);
        while (true)
        {
            ushort was = Interlocked.CompareExchange(ref word, (ushort)(seen & bits), seen);
            if (was == seen) return;
            seen = was;
        }
    }
}
