using VhostUser.Memory;
using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace XenMemoryProvider.Memory;

/// <content>
/// Small buffers: one grant copy instead of map, touch, unmap and the flush of translations behind it. What the device
/// reads is copied before the chain is handed out; what it writes when the chain is released. Bytes that the device
/// leaves unwritten reach the guest as zeroes: a driver may not rely on them (virtio 1.2, 2.7.8, driver requirements), and they must not be
/// another chain's.
/// </content>
internal sealed unsafe partial class GrantMapper
{
    private const int ReadBatch = 16;

    /// <inheritdoc/>
    public bool TryRead(ulong address, Span<byte> destination)
    {
        Span<Gntdev.GrantCopySegment> segments = stackalloc Gntdev.GrantCopySegment[ReadBatch];
        // SAFETY: pinned while the kernel copies into it, and every part lies inside it.
        fixed (byte* to = destination)
        {
            ulong from = address & ~XenRegion.GrantBit;
            for (int done = 0; done < destination.Length;)
            {
                int count = 0;
                for (; count < ReadBatch && done < destination.Length; count++)
                {
                    if (from >> XenPage.Shift > uint.MaxValue) return false;
                    int part = Math.Min(destination.Length - done, XenPage.Size - (int)(from % XenPage.Size));
                    segments[count] = FromGrant((uint)(from >> XenPage.Shift), (ushort)(from % XenPage.Size), to + done, part);
                    from += (ulong)part;
                    done += part;
                }
                if (!Copy(segments[..count])) return false;
            }
        }
        return true;
    }

    private bool TryCopy(ReadOnlySpan<GuestRange> ranges, Span<iovec> iovecs, GrantLease lease, bool writable, in Extent extent)
    {
        // SAFETY: the direction's bytes fit the copy limit, and each half of the lease's memory holds as many.
        byte* bounce = lease.Bounce(writable);
        if (writable) new Span<byte>(bounce, (int)extent.Bytes).Clear();
        lease.Reserve(extent.Pages);
        Span<Gntdev.GrantCopySegment> segments = lease.Segments;
        int count = 0;
        for (int i = 0; i < ranges.Length; i++)
        {
            ref readonly GuestRange range = ref ranges[i];
            if (range.Writable != writable) continue;
            iovecs[i] = new iovec { iov_base = bounce, iov_len = range.Length };
            if (range.Length == 0) continue;

            uint reference = FirstReference(range);
            uint offset = OffsetInPage(range);
            for (uint left = range.Length; left != 0; reference++, offset = 0)
            {
                int part = (int)Math.Min(left, XenPage.Size - offset);
                segments[count++] = writable
                    ? ToGrant(reference, (ushort)offset, bounce, part) : FromGrant(reference, (ushort)offset, bounce, part);
                bounce += part;
                left -= (uint)part;
            }
        }

        if (!writable) return Copy(segments[..count]);
        lease.CopiesBack = count;
        return true;
    }

    // If it fails the guest has revoked its grants meanwhile: its data is its loss.
    private void CopyBack(GrantLease lease)
    {
        if (!Copy(lease.Segments[..lease.CopiesBack])) XenMemoryMetrics.GrantFailures.Add(1);
    }

    private bool Copy(Span<Gntdev.GrantCopySegment> segments)
    {
        XenMemoryMetrics.GrantCopies.Add(segments.Length);
        if (_gntdev.Copy(segments) < 0) return false;
        foreach (ref readonly Gntdev.GrantCopySegment segment in segments)
        {
            if (segment.Status != GrantStatus.Okay) return false;
        }
        return true;
    }

    private Gntdev.GrantCopySegment FromGrant(uint reference, ushort offset, byte* to, int length) => new()
    {
        SourceRef = reference,
        SourceOffset = offset,
        SourceDomid = _domain.Domid,
        DestVirt = (ulong)to,
        Len = (ushort)length,
        Flags = Gntdev.CopySourceGref,
    };

    private Gntdev.GrantCopySegment ToGrant(uint reference, ushort offset, byte* from, int length) => new()
    {
        SourceVirt = (ulong)from,
        DestRef = reference,
        DestOffset = offset,
        DestDomid = _domain.Domid,
        Len = (ushort)length,
        Flags = Gntdev.CopyDestGref,
    };
}
