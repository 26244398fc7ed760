using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Tests.Fakes;

/// <summary>A privcmd whose guest is in the test: a dm_op goes to a delegate, resources and foreign frames are pages of one file.</summary>
internal sealed unsafe class FakePrivcmd : IPrivcmd
{
    public delegate int DmOpHandler(ushort domid, ref DmOp.Call call, Span<byte> extra);

    private readonly FakeXen _xen;
    private ushort? _restricted;

    public FakePrivcmd(FakeXen xen) => _xen = xen;

    public XenMapping MapForeign(ushort domid, ReadOnlySpan<ulong> gfns, int prot, Span<int> errors, TimeSpan pagingTimeout)
    {
        Check("MMAPBATCH_V2", domid);
        if (_xen.MapForeignError != 0) throw new XenException("MMAPBATCH_V2", domid, _xen.MapForeignError);
        _xen.Log.Add($"foreign {domid} {gfns.Length}");
        Interlocked.Increment(ref _xen.LiveMappings);
        MappedMemory memory = MappedMemory.Anonymous((nuint)gfns.Length * XenPage.Size, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);
        for (int i = 0; i < gfns.Length; i++)
        {
            errors[i] = _xen.Missing.TryGetValue(gfns[i], out int error) ? error : gfns[i] < _xen.Frames ? 0 : -EINVAL;
            if (errors[i] == 0) _xen.Place(memory.Pointer + ((nuint)i * XenPage.Size), gfns[i], prot);
        }
        return new XenMapping(memory, _xen);
    }

    public XenMapping MapResource(ushort domid, MemoryOp.ResourceType type, uint id, uint frame, int count)
    {
        Check("MMAP_RESOURCE", domid);
        if (_xen.MapResourceError != 0) throw new XenException("MMAP_RESOURCE", domid, _xen.MapResourceError);
        _xen.Log.Add($"resource {type} {id} {frame} {count}");
        Interlocked.Increment(ref _xen.LiveMappings);
        return new XenMapping(MappedMemory.Map(_xen.Resource, 0, (nuint)count * XenPage.Size), _xen);
    }

    public ulong GetResourceSize(ushort domid, MemoryOp.ResourceType type, uint id) => throw new NotSupportedException();

    public int DmOp(ushort domid, ref DmOp.Call call, Span<byte> extra = default) =>
        _restricted is { } only && only != domid ? -EPERM : _xen.OnDmOp(domid, ref call, extra);

    public HypercallBuffer AllocateBuffer(int bytes) => new(MappedMemory.Anonymous(XenPage.RoundUp((nuint)Math.Max(bytes, 1))), neverFaults: true);

    public int Hypercall(in Privcmd.Hypercall call, HypercallBuffer buffer) => _restricted is null ? _xen.OnHypercall(call, buffer) : -EPERM;

    public void Restrict(ushort domid)
    {
        if (_xen.RestrictError != 0) throw new XenException("PRIVCMD_RESTRICT", domid, _xen.RestrictError);
        _restricted = domid;
        _xen.Log.Add($"restrict {domid}");
    }

    public void Dispose() => Interlocked.Decrement(ref _xen.OpenDevices);

    private void Check(string call, ushort domid)
    {
        if (_restricted is { } only && only != domid) throw new XenException(call, domid, EPERM);
    }
}
