using XenMemoryProvider.Abi;

namespace XenModel.Grants;

internal sealed unsafe partial class GrantTable
{
    /// <summary>Changes the format of the table. The reserved entries survive, all others are cleared.</summary>
    /// <returns>0; -EINVAL; -ENOSYS: not allowed; -EBUSY: entries are in use; -ERANGE: a frame number does not fit.</returns>
    public int SetVersion(uint version)
    {
        if (version is not (1 or 2)) return -(int)XenErrno.EINVAL;
        if (version > (uint)_domain.Options.MaxGrantVersion) return -(int)XenErrno.ENOSYS;
        if (version == Version) return 0;
        if (_active.Keys.Any(reference => reference >= GrantTableOp.ReservedEntries)) return -(int)XenErrno.EBUSY;
        Span<GrantEntryV1> reserved = stackalloc GrantEntryV1[(int)GrantTableOp.ReservedEntries];
        if (version == 2)
        {
            if (!Extend(_status, StatusFramesFor(_shared.Count))) return -(int)XenErrno.ENOMEM;
            new ReadOnlySpan<GrantEntryV1>(EntryV1(0), reserved.Length).CopyTo(reserved);
        }
        else
        {
            int result = ReadReservedV2(reserved);
            if (result != 0) return result;
            foreach (Memory.FrameReference frame in _status)
            {
                _domain.ForgetXenFrame(frame);
                if (_domain.IsTranslated && frame.Pool.References(frame.Frame) != 1)
                {
                    _domain.Crash("somebody maps a status frame that goes");
                    return -(int)XenErrno.EBUSY;
                }
            }

            foreach (Memory.FrameReference frame in _status) frame.Release();

            _status.Clear();
        }

        foreach (Memory.FrameReference frame in _shared) frame.Bytes.Clear();
        Version = version;
        for (uint i = 0; i < reserved.Length; i++) WriteReserved(i, reserved[(int)i]);
        return 0;
    }

    private int ReadReservedV2(Span<GrantEntryV1> reserved)
    {
        for (uint i = 0; i < reserved.Length; i++)
        {
            GrantEntryV2 entry = *EntryV2(i);
            GrantFlags type = entry.Flags & GrantFlags.TypeMask;
            if (type == GrantFlags.Transitive || (type == GrantFlags.PermitAccess && entry.Frame > uint.MaxValue)) return -(int)XenErrno.ERANGE;
            if (type != GrantFlags.PermitAccess) continue;
            reserved[(int)i] = new GrantEntryV1 { Flags = entry.Flags | (GrantFlags)StatusWord(i), Domid = entry.Domid, Frame = (uint)entry.Frame };
        }

        return 0;
    }

    private void WriteReserved(uint reference, GrantEntryV1 entry)
    {
        if (Version == 1)
        {
            *EntryV1(reference) = entry;
            return;
        }

        const GrantFlags marks = GrantFlags.Reading | GrantFlags.Writing;
        StatusWord(reference) = (ushort)(entry.Flags & marks);
        *EntryV2(reference) = new GrantEntryV2 { Flags = entry.Flags & ~marks, Domid = entry.Domid, Frame = entry.Frame };
    }

    /// <summary>Exchanges two of this domain's entries.</summary>
    public GrantStatus Swap(uint a, uint b)
    {
        if (a >= EntryCount || b >= EntryCount) return GrantStatus.BadGntref;
        if (a == b) return GrantStatus.Okay;
        if (FindActive(a) is not null || FindActive(b) is not null) return GrantStatus.Eagain;
        if (Version == 1)
        {
            (*EntryV1(a), *EntryV1(b)) = (*EntryV1(b), *EntryV1(a));
            return GrantStatus.Okay;
        }

        (*EntryV2(a), *EntryV2(b)) = (*EntryV2(b), *EntryV2(a));
        (StatusWord(a), StatusWord(b)) = (StatusWord(b), StatusWord(a));
        return GrantStatus.Okay;
    }
}
