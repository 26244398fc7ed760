using XenMemoryProvider.Abi;
using XenModel.Memory;

namespace XenModel.Grants;

internal sealed unsafe partial class GrantTable
{
    /// <summary>Takes a page that another domain gives, if an entry of this table says so.</summary>
    public GrantStatus AcceptTransfer(uint reference, ushort giver, FrameReference page)
    {
        if (_domain.IsDying || reference >= EntryCount) return GrantStatus.GeneralError;
        ref uint header = ref Header(reference);
        uint expected = (uint)GrantFlags.AcceptTransfer | (uint)giver << 16;
        uint committed = expected | (uint)GrantFlags.TransferCommitted;
        if (Interlocked.CompareExchange(ref header, committed, expected) != expected) return GrantStatus.GeneralError;
        if (!_domain.Frames.TryAllocate(ram: true, out uint frame)) return GrantStatus.GeneralError;
        page.Bytes.CopyTo(_domain.Frames.Bytes(frame));
        ulong gfn = Version == 1 ? Volatile.Read(ref EntryV1(reference)->Frame) : Volatile.Read(ref EntryV2(reference)->Frame);
        _domain.P2m.Set(gfn, P2mType.Ram, new FrameReference(_domain.Frames, frame));

        // Releases: the page is in place before the entry says so.
        Interlocked.Or(ref header, (uint)GrantFlags.TransferCompleted);
        return GrantStatus.Okay;
    }
}
