using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Memory;

namespace XenModel.Ioreq;

internal static partial class DmOps
{
    // Nothing tracks the guest's writes, so every page counts as written: more than true, never less.
    private static int TrackDirtyVram(Domain domain, DmOp.TrackDirtyVram argument, int buffers, Span<byte> bitmap)
    {
        if (argument.Pad != 0 || buffers != 2 || argument.Nr > MaxDirtyPages) return -(int)XenErrno.EINVAL;
        if (domain.IsDying) return -(int)XenErrno.ESRCH;
        int bytes = (int)((argument.Nr + 7) / 8);
        if (bitmap.Length < bytes) return -(int)XenErrno.EINVAL;
        bitmap[..bytes].Fill(0xff);
        if (argument.Nr % 8 != 0) bitmap[bytes - 1] = (byte)((1 << (int)(argument.Nr % 8)) - 1);
        return 0;
    }

    // Only log-dirty mode (live migration) would listen; without it Xen does not even look at the extents.
    private static int ModifiedMemory(int buffers) => buffers == 2 ? 0 : -(int)XenErrno.EINVAL;

    private static int SetMemType(Domain domain, DmOp.SetMemType argument)
    {
        if (argument.Pad != 0) return -(int)XenErrno.EINVAL;
        ulong last = argument.FirstPfn + argument.Nr - 1;
        if (last < argument.FirstPfn || last > domain.P2m.MaxGfn) return -(int)XenErrno.EINVAL;
        P2mType type;
        switch (argument.MemType)
        {
            case HvmOp.MemType.RamRw:
                type = P2mType.Ram;
                break;
            case HvmOp.MemType.RamRo:
                type = P2mType.RamReadOnly;
                break;
            case HvmOp.MemType.MmioDm:
                type = P2mType.MmioDm;
                break;
            case HvmOp.MemType.IoreqServer when domain.IoreqServers.MemTypeServer is not null:
                type = P2mType.IoreqServer;
                break;
            default:
                return -(int)XenErrno.EINVAL;
        }

        // Holes may become what they are. So only that type takes ranges with holes in them, and those need no looking at.
        IEnumerable<ulong> gfns = type == P2mType.MmioDm ? domain.P2m.OccupiedIn(argument.FirstPfn, last) : Range(argument.FirstPfn, last);
        foreach (ulong gfn in gfns)
        {
            P2mEntry entry = domain.P2m[gfn];
            if (entry.IsPaged)
            {
                domain.P2m.RequestPageIn(gfn);
                return -(int)XenErrno.EAGAIN;
            }

            if (!MayBecome(entry, type)) return -(int)XenErrno.EINVAL;
            if (entry.IsPresent) domain.P2m.SetType(gfn, type);
        }

        return 0;
    }

    private static IEnumerable<ulong> Range(ulong first, ulong last)
    {
        for (ulong gfn = first; gfn <= last; gfn++) yield return gfn;
    }

    private static bool MayBecome(P2mEntry entry, P2mType type)
    {
        if (type == P2mType.IoreqServer) return entry.Type == P2mType.Ram;
        if (entry.Type == P2mType.IoreqServer) return type == P2mType.Ram;
        return entry.IsRam || (!entry.IsPresent && type == P2mType.MmioDm);
    }

    private static int RelocateMemory(Domain domain, DmOp.RelocateMemory argument)
    {
        if (argument.Pad != 0) return -(int)XenErrno.EINVAL;
        for (uint i = 0; i < argument.Size; i++)
        {
            int result = MemoryOps.MoveFrame(domain, argument.SrcGfn + i, argument.DstGfn + i);
            if (result != 0) return result;
        }

        return 0;
    }

    private static int PinMemoryCacheattr(Domain domain, DmOp.PinMemoryCacheattr argument)
    {
        if (argument.Pad != 0) return -(int)XenErrno.EINVAL;
        if (argument.Start > argument.End || argument.End >= P2m.GfnLimit) return -(int)XenErrno.EINVAL;
        return domain.CacheAttributes.Pin(argument.Start, argument.End, argument.Type);
    }

    private static int RemoteShutdown(Domain domain, DmOp.RemoteShutdown argument)
    {
        domain.ShutDownLocked(argument.Reason);
        return 0;
    }
}
