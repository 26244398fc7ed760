using System.Diagnostics;
using VhostUser.Memory;
using VhostXen.Linux;
using XenMemoryProvider.Kernel;

namespace XenMemoryProvider.Memory;

/// <summary>
/// Maps what one chain needs, and gives it back before the chain's used entry is published: a guest whose grant is still
/// held then disables the device for good. One call maps all that the device reads, read-only, as the guest granted it;
/// one all that it writes. A direction of few bytes is copied instead. Nothing is remembered from chain to chain, and
/// nothing is allocated for one.
/// </summary>
internal sealed unsafe partial class GrantMapper : IOnDemandMapper, IDisposable
{
    private readonly XenDomain _domain;
    private readonly IGntdev _gntdev;
    private readonly int _copyLimit;
    private readonly int _maxPages;
    private readonly Lock _lock = new();
    private readonly List<GrantLease> _leases = [];
    private readonly Stack<GrantLease> _free = new();

    [ThreadStatic]
    private static GrantReference[]? t_references;

    internal GrantMapper(XenDomain domain, IGntdev gntdev, XenMemoryOptions options)
    {
        _domain = domain;
        _gntdev = gntdev;
        _copyLimit = options.CopyLimit;
        _maxPages = options.MaxPagesPerChain;
    }

    /// <inheritdoc/>
    public bool TryMap(ReadOnlySpan<GuestRange> ranges, Span<iovec> iovecs, out ulong token)
    {
        token = 0;
        if (!TryMeasure(ranges, false, out Extent readable) || !TryMeasure(ranges, true, out Extent writable)
            || readable.Pages + writable.Pages > _maxPages)
        {
            XenMemoryMetrics.GrantFailures.Add(1);
            return false;
        }

        // A region of the guest is alive while this runs, so the domain is.
        if (!_domain.TryAddUser()) return false;
        GrantLease lease = Take();
        if (!TryProvide(ranges, iovecs, lease, false, readable) || !TryProvide(ranges, iovecs, lease, true, writable))
        {
            Return(lease, writeBack: false);
            XenMemoryMetrics.GrantFailures.Add(1);
            return false;
        }

        token = (ulong)lease.Generation << 32 | (uint)lease.Index;
        return true;
    }

    /// <inheritdoc/>
    public void Release(ulong token)
    {
        GrantLease lease;
        lock (_lock)
        {
            lease = _leases[(int)(uint)token];
            if (!lease.InUse || lease.Generation != (uint)(token >> 32))
                throw new InvalidOperationException("a grant lease was released twice");
        }
        Return(lease, writeBack: true);
    }

    public void Dispose()
    {
        lock (_lock) _leases.ForEach(static lease => lease.Dispose());
    }

    private GrantLease Take()
    {
        lock (_lock)
        {
            if (!_free.TryPop(out GrantLease? lease))
            {
                lease = new GrantLease(_leases.Count, _copyLimit);
                _leases.Add(lease);
            }
            lease.Generation++;
            lease.InUse = true;
            return lease;
        }
    }

    private void Return(GrantLease lease, bool writeBack)
    {
        if (lease.CopiesBack != 0 && writeBack) CopyBack(lease);
        lease.CopiesBack = 0;
        if (lease.Readable.Pages != 0) Unmap(lease.Readable);
        if (lease.Writable.Pages != 0) Unmap(lease.Writable);
        lease.Readable = lease.Writable = default;
        lock (_lock)
        {
            lease.InUse = false;
            _free.Push(lease);
        }
        _domain.RemoveUser();
    }

    private void Unmap(in GrantMapping mapping)
    {
        int result = _gntdev.Unmap(mapping);
        Debug.Assert(result == 0, "what was mapped can be unmapped");
        if (result != 0) XenMemoryMetrics.GrantFailures.Add(1);
    }

    private bool TryProvide(ReadOnlySpan<GuestRange> ranges, Span<iovec> iovecs, GrantLease lease, bool writable, in Extent extent)
    {
        if (extent.Pages == 0) return Empty(ranges, iovecs, writable);
        return extent.Bytes <= (ulong)_copyLimit
            ? TryCopy(ranges, iovecs, lease, writable, extent) : TryMapDirection(ranges, iovecs, lease, writable, extent);
    }

    private bool TryMapDirection(ReadOnlySpan<GuestRange> ranges, Span<iovec> iovecs, GrantLease lease, bool writable, in Extent extent)
    {
        GrantReference[] references = t_references?.Length >= extent.Pages ? t_references : t_references = new GrantReference[Math.Max(256, extent.Pages)];
        int count = 0;
        foreach (ref readonly GuestRange range in ranges)
        {
            if (range.Writable != writable || range.Length == 0) continue;
            uint first = FirstReference(range);
            for (int pages = Pages(range), i = 0; i < pages; i++) references[count++] = new GrantReference(_domain.Domid, first + (uint)i);
        }

        if (_gntdev.Map(references.AsSpan(0, count), writable, out GrantMapping mapping) < 0) return false;
        if (writable) lease.Writable = mapping;
        else lease.Readable = mapping;
        XenMemoryMetrics.GrantPagesMapped.Add(count);

        // SAFETY: the mapping has a page for every reference, in this order.
        byte* at = (byte*)mapping.Address;
        for (int i = 0; i < ranges.Length; i++)
        {
            if (ranges[i].Writable != writable) continue;
            iovecs[i] = new iovec { iov_base = at + (ranges[i].Length == 0 ? 0 : OffsetInPage(ranges[i])), iov_len = ranges[i].Length };
            if (ranges[i].Length != 0) at += (nuint)Pages(ranges[i]) << XenPage.Shift;
        }
        return true;
    }

    // Buffers of no bytes have a place all the same: null would mean a hole.
    private bool Empty(ReadOnlySpan<GuestRange> ranges, Span<iovec> iovecs, bool writable)
    {
        for (int i = 0; i < ranges.Length; i++)
        {
            if (ranges[i].Writable == writable) iovecs[i] = new iovec { iov_base = (void*)XenPage.Size, iov_len = 0 };
        }
        return true;
    }

    /// <summary>Adds a direction up; false where a reference does not fit 32 bits or the pages are absurdly many.</summary>
    private bool TryMeasure(ReadOnlySpan<GuestRange> ranges, bool writable, out Extent extent)
    {
        extent = default;
        foreach (ref readonly GuestRange range in ranges)
        {
            if (range.Writable != writable || range.Length == 0) continue;
            ulong address = range.Address.Value & ~XenRegion.GrantBit;
            if ((address + (range.Length - 1)) >> XenPage.Shift > uint.MaxValue) return false;
            extent.Bytes += range.Length;
            extent.Pages += Pages(range);
            if (extent.Pages > _maxPages) return false;
        }
        return true;
    }

    private static uint FirstReference(in GuestRange range) => (uint)((range.Address.Value & ~XenRegion.GrantBit) >> XenPage.Shift);

    private static uint OffsetInPage(in GuestRange range) => (uint)range.Address.Value & (XenPage.Size - 1);

    private static int Pages(in GuestRange range) => (int)((OffsetInPage(range) + (ulong)range.Length + (XenPage.Size - 1)) >> XenPage.Shift);

    /// <summary>What a chain has in one direction.</summary>
    private struct Extent
    {
        public ulong Bytes;
        public int Pages;
    }
}
