using Fuzz.Engine;
using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static VhostXen.Linux.LibC;

namespace Fuzz.Oracles;

/// <summary>A guest of a few frames and the page of one ioreq server: what the kernel would be asked for, counted.</summary>
internal sealed unsafe class FuzzPrivcmd : IPrivcmd, IXenMappingOwner, IDisposable
{
    public const ushort Domid = 7;
    public const ulong Frames = 16;
    private readonly FileDescriptor _guest = MemFd.Create("guest", Frames * XenPage.Size);
    private readonly FileDescriptor _page = MemFd.Create("fuzz", XenPage.Size);
    private readonly MappedMemory _slots;
    private bool _server;

    public FuzzPrivcmd() => _slots = MappedMemory.Map(_page, 0, XenPage.Size);

    public int Vcpus { get; set; } = 3;

    /// <summary>Xen's own view of the page.</summary>
    public Span<byte> Page => _slots.Span;

    public int Mappings { get; private set; }

    public XenMapping MapForeign(ushort domid, ReadOnlySpan<ulong> gfns, int prot, Span<int> errors, TimeSpan pagingTimeout)
    {
        FindingException.Require(domid == Domid && gfns.Length == 1, "another guest's memory, or more of it than a page");
        errors[0] = gfns[0] < Frames ? 0 : -EINVAL;
        if (errors[0] != 0)
            return Count(MappedMemory.Anonymous(XenPage.Size, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE));

        return Count(MappedMemory.Map(_guest, gfns[0] * XenPage.Size, XenPage.Size, prot, MAP_SHARED));
    }

    public XenMapping MapResource(ushort domid, MemoryOp.ResourceType type, uint id, uint frame, int count)
    {
        FindingException.Require((type, id, frame, count) == (MemoryOp.ResourceType.IoreqServer, 3u, MemoryOp.IoreqServerFrameIoreq, 1), "another resource is mapped");
        return Count(MappedMemory.Map(_page, 0, XenPage.Size));
    }

    public ulong GetResourceSize(ushort domid, MemoryOp.ResourceType type, uint id) => throw new NotSupportedException();

    public int DmOp(ushort domid, ref DmOp.Call call, Span<byte> extra = default)
    {
        switch (call.Op)
        {
            case XenMemoryProvider.Abi.DmOp.Command.NrVcpus:
                call.NrVcpus.Vcpus = (uint)Vcpus;
                break;
            case XenMemoryProvider.Abi.DmOp.Command.CreateIoreqServer:
                // Buffered requests are nobody's here: a ring for them would never be read.
                FindingException.Require(!_server && call.CreateIoreqServer.HandleBufioreq == XenMemoryProvider.Abi.DmOp.BufferedIoreq.Off, "a server with a buffered ring");
                _server = true;
                call.CreateIoreqServer.Id = 3;
                break;
            case XenMemoryProvider.Abi.DmOp.Command.DestroyIoreqServer:
                FindingException.Require(_server, "a server is destroyed that is not there");
                _server = false;
                break;
        }

        return 0;
    }

    public HypercallBuffer AllocateBuffer(int bytes) => throw new NotSupportedException();

    public int Hypercall(in Privcmd.Hypercall call, HypercallBuffer buffer) => throw new NotSupportedException();

    public void Restrict(ushort domid)
    {
    }

    public void Unmapped(XenMapping mapping, ulong token) => Mappings--;

    public void Dispose()
    {
        _slots.Dispose();
        _page.Dispose();
        _guest.Dispose();
    }

    private XenMapping Count(MappedMemory memory)
    {
        Mappings++;
        return new XenMapping(memory, this);
    }
}
