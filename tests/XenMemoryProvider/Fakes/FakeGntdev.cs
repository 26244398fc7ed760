using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Tests.Fakes;

/// <summary>A gntdev with the guest's grant table in the test: reference to frame, maybe read-only, counted while mapped.</summary>
internal sealed unsafe class FakeGntdev(FakeXen xen) : IGntdev
{
    private readonly Lock _lock = new();
    private readonly Dictionary<ulong, uint[]> _live = [];
    private ulong _nextIndex;

    public readonly record struct Grant(ulong Gfn, bool ReadOnly);

    public const ushort Granter = 7;

    public Dictionary<uint, Grant> Table { get; } = [];

    /// <summary>What was asked, in order: "map 2 rw", "unmap 2", "copy 1".</summary>
    public List<string> Log { get; } = [];

    /// <summary>References that are mapped now; with each as often as it is.</summary>
    public uint[] Mapped
    {
        get
        {
            lock (_lock) return [.. _live.Values.SelectMany(references => references)];
        }
    }

    /// <summary>Bytes that this fake itself allocated, for tests that count those of others.</summary>
    public long Allocated { get; private set; }

    public int UnmapError { get; set; }

    public int CopyError { get; set; }

    public int Map(ReadOnlySpan<GrantReference> references, bool writable, out GrantMapping mapping)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        int result = MapCounted(references, writable, out mapping);
        Allocated += GC.GetAllocatedBytesForCurrentThread() - before;
        return result;
    }

    private int MapCounted(ReadOnlySpan<GrantReference> references, bool writable, out GrantMapping mapping)
    {
        mapping = default;
        lock (_lock)
        {
            Log.Add($"map {references.Length} {(writable ? "rw" : "ro")}");
            if (references.IsEmpty) return -EINVAL;
            foreach (GrantReference reference in references)
            {
                if (reference.Domid != Granter || !Table.TryGetValue(reference.Reference, out Grant grant) || (writable && grant.ReadOnly)) return -EINVAL;
            }

            nuint length = (nuint)references.Length * XenPage.Size;
            byte* at = (byte*)mmap(null, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            for (int i = 0; i < references.Length; i++)
                xen.Place(at + ((nuint)i * XenPage.Size), Table[references[i].Reference].Gfn, writable ? PROT_READ | PROT_WRITE : PROT_READ);
            ulong index = _nextIndex;
            _nextIndex += length;
            _live.Add(index, [.. references.ToArray().Select(reference => reference.Reference)]);
            mapping = new GrantMapping((nint)at, references.Length, index);
            return 0;
        }
    }

    public int Unmap(in GrantMapping mapping)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        int result = UnmapCounted(mapping);
        Allocated += GC.GetAllocatedBytesForCurrentThread() - before;
        return result;
    }

    private int UnmapCounted(in GrantMapping mapping)
    {
        lock (_lock)
        {
            Log.Add($"unmap {mapping.Pages}");
            if (!_live.Remove(mapping.Index, out uint[]? references) || references.Length != mapping.Pages) return -ENOENT;
            return munmap((void*)mapping.Address, (nuint)mapping.Pages * XenPage.Size) == 0 ? UnmapError : -errno;
        }
    }

    public int Copy(Span<Gntdev.GrantCopySegment> segments)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        int result = CopyCounted(segments);
        Allocated += GC.GetAllocatedBytesForCurrentThread() - before;
        return result;
    }

    private int CopyCounted(Span<Gntdev.GrantCopySegment> segments)
    {
        lock (_lock)
        {
            Log.Add($"copy {segments.Length}");
            if (CopyError != 0) return CopyError;
            foreach (ref Gntdev.GrantCopySegment segment in segments)
            {
                bool toGrant = segment.Flags == Gntdev.CopyDestGref;
                if (!toGrant && segment.Flags != Gntdev.CopySourceGref) return -EINVAL;
                (uint reference, ushort offset, ushort domid) = toGrant
                    ? (segment.DestRef, segment.DestOffset, segment.DestDomid) : (segment.SourceRef, segment.SourceOffset, segment.SourceDomid);
                if (offset + segment.Len > XenPage.Size) return -EINVAL;
                if (domid != Granter || !Table.TryGetValue(reference, out Grant grant) || (toGrant && grant.ReadOnly))
                {
                    segment.Status = GrantStatus.BadGntref;
                    continue;
                }
                byte* page = xen.Frame(grant.Gfn) + offset;
                if (toGrant) Buffer.MemoryCopy((void*)segment.SourceVirt, page, segment.Len, segment.Len);
                else Buffer.MemoryCopy(page, (void*)segment.DestVirt, segment.Len, segment.Len);
                segment.Status = GrantStatus.Okay;
            }
            return 0;
        }
    }

    public int SetUnmapNotify(in GrantMapping mapping, ulong? clearByteOffset, uint? port) => throw new NotSupportedException();

    public void Dispose() => Interlocked.Decrement(ref xen.OpenDevices);
}
