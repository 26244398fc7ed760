using XenMemoryProvider.Abi;
using XenModel.Memory;

namespace XenModel.Grants;

internal sealed unsafe partial class GrantTable
{
    private const uint PvOnlyFlags = GrantTableOp.MapDevice | GrantTableOp.MapApplication | GrantTableOp.MapContainsPte;

    /// <summary>Maps a grant of another domain into this one, without a place for it: drivers and callers see to that.</summary>
    /// <param name="handle">Names the mapping.</param>
    /// <param name="frame">What is mapped; the mapping holds the references.</param>
    public GrantStatus Map(ushort granter, uint reference, uint flags, out uint handle, out FrameReference frame)
    {
        handle = 0;
        frame = default;
        if ((flags & (GrantTableOp.MapDevice | GrantTableOp.MapHost)) == 0) return GrantStatus.BadGntref;
        if (_domain.IsTranslated && (flags & PvOnlyFlags) != 0) return GrantStatus.GeneralError;
        if (_domain.Hypervisor.FindLocked(granter) is not { } remote) return GrantStatus.BadDomain;
        if (!Tracked.TryReserve(out handle)) return GrantStatus.NoSpace;
        GrantStatus status = remote.Grants.Pin(reference, flags, _domain.Id, out frame);
        if (status != GrantStatus.Okay)
        {
            Tracked.Free(handle);
            return status;
        }

        Tracked.Set(handle, new MapTrack.Entry(flags, granter, reference, frame));
        return GrantStatus.Okay;
    }

    /// <summary>Takes back one side of a mapping, or both. The handle goes with the last.</summary>
    public void Unmap(uint handle, MapTrack.Entry entry, uint sides)
    {
        uint gone = entry.Flags & sides & (GrantTableOp.MapDevice | GrantTableOp.MapHost);
        if (gone == 0) return;
        bool readOnly = (entry.Flags & GrantTableOp.MapReadOnly) != 0;

        // The granter's number may be another domain's by now; then only the page is left to give back.
        if (_domain.Hypervisor.FindLocked(entry.Domid) is { } remote && remote.Frames == entry.Frame.Pool)
            remote.Grants.Unpin(entry.Reference, readOnly, gone);
        for (uint side = gone; side != 0; side &= side - 1) entry.Frame.Release();
        uint left = entry.Flags & ~gone;
        if ((left & (GrantTableOp.MapDevice | GrantTableOp.MapHost)) == 0) Tracked.Free(handle);
        else Tracked.Set(handle, entry with { Flags = left });
    }

    /// <summary>Takes a mapping back whole. False: not a live handle.</summary>
    public bool UnmapWhole(uint handle)
    {
        if (Tracked.Find(handle) is not { } entry) return false;
        Unmap(handle, entry, GrantTableOp.MapDevice | GrantTableOp.MapHost);
        return true;
    }

    /// <summary>Uses one of this domain's grants for a mapping by another domain.</summary>
    private GrantStatus Pin(uint reference, uint flags, ushort user, out FrameReference frame)
    {
        frame = default;
        bool readOnly = (flags & GrantTableOp.MapReadOnly) != 0;
        ActiveGrant? active = FindActive(reference);
        if (_domain.IsDying && active is null) return GrantStatus.BadPage;
        if (reference >= EntryCount && !_domain.IsDying) return GrantStatus.BadGntref;
        if (active is not null && (active.Domid != user || active.Pins.NearOverflow || active.IsSubPage)) return GrantStatus.GeneralError;
        if (active is null || (!readOnly && !active.Pins.AnyWrite))
        {
            if (_domain.IsDying) return GrantStatus.GeneralError;
            GrantStatus status = Mark(reference, active, readOnly, mapping: true, user);
            if (status != GrantStatus.Okay) return status;
            if (active is null)
            {
                ulong gfn = Version == 1 ? Volatile.Read(ref EntryV1(reference)->Frame) : Volatile.Read(ref EntryV2(reference)->Frame);
                status = TakeFrame(gfn, out frame);
                if (status != GrantStatus.Okay)
                {
                    Unmark(reference, null);
                    return status;
                }

                active = Activate(reference);
                active.Domid = user;
                active.Frame = frame;
                active.Start = 0;
                active.Length = FramePool.PageSize;
                active.IsSubPage = false;
                frame.Release();
            }
        }

        frame = active.Frame;
        if ((flags & GrantTableOp.MapHost) != 0)
        {
            active.Pins.AddHost(readOnly, 1);
            frame.AddReference();
        }

        if ((flags & GrantTableOp.MapDevice) != 0)
        {
            active.Pins.AddDevice(readOnly, 1);
            frame.AddReference();
        }

        return GrantStatus.Okay;
    }

    private void Unpin(uint reference, bool readOnly, uint sides)
    {
        if (FindActive(reference) is not { } active) return;
        if ((sides & GrantTableOp.MapHost) != 0) active.Pins.AddHost(readOnly, -1);
        if ((sides & GrantTableOp.MapDevice) != 0) active.Pins.AddDevice(readOnly, -1);
        Unmark(reference, active);
        if (!active.Pins.Any) Deactivate(reference, active);
    }
}
