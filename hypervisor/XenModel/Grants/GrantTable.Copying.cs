using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Memory;

namespace XenModel.Grants;

internal sealed unsafe partial class GrantTable
{
    /// <summary>Uses one of this domain's grants for a copy. Give it back by <see cref="ReleaseCopy"/>.</summary>
    /// <param name="window">What may be copied.</param>
    public GrantStatus AcquireCopy(uint reference, ushort user, bool readOnly, bool allowTransitive, out CopyWindow window)
    {
        window = default;
        if (reference >= EntryCount) return GrantStatus.BadGntref;
        ActiveGrant? active = FindActive(reference);
        if (active is not null && (active.Domid != user || active.Pins.NearOverflow)) return GrantStatus.GeneralError;
        bool transitive = Version == 2 && ((GrantFlags)(ushort)Volatile.Read(ref Header(reference)) & GrantFlags.TypeMask) == GrantFlags.Transitive;
        if (transitive) return AcquireTransitive(reference, active, user, readOnly, allowTransitive, out window);
        if (active is null || (!readOnly && !active.Pins.AnyWrite))
        {
            GrantStatus status = Mark(reference, active, readOnly, mapping: false, user);
            if (status != GrantStatus.Okay) return status;
            if (active is null)
            {
                status = ReadWindow(reference, out window, out bool subPage);
                if (status != GrantStatus.Okay)
                {
                    Unmark(reference, null);
                    return status;
                }

                active = Activate(reference);
                active.Domid = user;
                active.Frame = window.Frame;
                active.Start = window.Start;
                active.Length = window.Length;
                active.IsSubPage = subPage;
                window.Frame.Release();
            }
        }

        active.Pins.AddHost(readOnly, 1);
        active.Frame.AddReference();
        window = new CopyWindow(active.Frame, active.Start, active.Length);
        return GrantStatus.Okay;
    }

    public void ReleaseCopy(uint reference, bool readOnly, FrameReference frame)
    {
        frame.Release();
        if (FindActive(reference) is not { } active) return;
        Domain? transitive = active.TransitiveDomain;
        uint further = active.TransitiveReference;
        active.Pins.AddHost(readOnly, -1);
        Unmark(reference, active);
        if (!active.Pins.Any) Deactivate(reference, active);

        // One level deep: what a transitive grant names is never transitive itself.
        transitive?.Grants.ReleaseCopy(further, readOnly, frame);
    }

    private GrantStatus AcquireTransitive(uint reference, ActiveGrant? active, ushort user, bool readOnly, bool allowed, out CopyWindow window)
    {
        window = default;
        if (active is null || (!readOnly && !active.Pins.AnyWrite))
        {
            GrantStatus marked = Mark(reference, active, readOnly, mapping: false, user);
            if (marked != GrantStatus.Okay) return marked;
        }

        GrantEntryV2* entry = EntryV2(reference);
        ushort granter = Volatile.Read(ref entry->TransitiveDomid);
        uint further = Volatile.Read(ref entry->TransitiveGref);
        Domain? domain = granter == _domain.Id ? null : _domain.Hypervisor.FindLocked(granter);
        if (!allowed || domain is null)
        {
            Unmark(reference, active);
            return GrantStatus.GeneralError;
        }

        GrantStatus status = domain.Grants.AcquireCopy(further, _domain.Id, readOnly, allowTransitive: false, out window);
        if (status != GrantStatus.Okay)
        {
            Unmark(reference, active);
            return status;
        }

        if (active is null)
        {
            active = Activate(reference);
            active.Domid = user;
            active.Frame = window.Frame;
            active.Start = window.Start;
            active.Length = window.Length;
            active.IsSubPage = true;
            active.TransitiveDomain = domain;
            active.TransitiveReference = further;
        }
        else if (active.Frame != window.Frame || active.TransitiveDomain != domain || active.TransitiveReference != further)
        {
            // The guest re-used the entry under a use of it.
            domain.Grants.ReleaseCopy(further, readOnly, window.Frame);
            Unmark(reference, active);
            return GrantStatus.GeneralError;
        }

        active.Pins.AddHost(readOnly, 1);
        active.Frame.AddReference();
        return GrantStatus.Okay;
    }

    private GrantStatus ReadWindow(uint reference, out CopyWindow window, out bool subPage)
    {
        ulong gfn;
        int start = 0, length = FramePool.PageSize;
        subPage = false;
        if (Version == 1)
        {
            gfn = Volatile.Read(ref EntryV1(reference)->Frame);
        }
        else
        {
            GrantEntryV2* entry = EntryV2(reference);
            gfn = Volatile.Read(ref entry->Frame);
            subPage = (Volatile.Read(ref *(ushort*)entry) & (ushort)GrantFlags.SubPage) != 0;
            if (subPage)
            {
                start = Volatile.Read(ref entry->PageOffset);
                length = Volatile.Read(ref entry->Length);
            }
        }

        GrantStatus status = TakeFrame(gfn, out FrameReference frame);
        window = new CopyWindow(frame, start, length);
        return status;
    }

    /// <summary>The part of a frame that may be copied; with a reference of the frame.</summary>
    public readonly record struct CopyWindow(FrameReference Frame, int Start, int Length);
}
