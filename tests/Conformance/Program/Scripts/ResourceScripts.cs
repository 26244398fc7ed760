using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using static XenMemoryProvider.Abi.MemoryOp;
using BufferedIoreq = XenMemoryProvider.Abi.DmOp.BufferedIoreq;

namespace Conformance.Scripts;

/// <summary>acquire_resource, as the driver maps it and as a hypercall.</summary>
internal static unsafe class ResourceScripts
{
    public static IReadOnlyList<Script> All { get; } =
    [
        new("resource.ioreq-pages-without-buffer", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("map frame 0, the buffered ring", "ENOENT", () => x.MapServer(x.Pvh, id, 0).Pages);
            x.Step("map frames 0 and 1", "ENOENT", () => x.MapServer(x.Pvh, id, 0, 2).Pages);
            x.Step("map frame 1, the requests", "1", () => x.MapServer(x.Pvh, id, 1).Pages);
            x.Step("map frame 2", "EINVAL", () => x.MapServer(x.Pvh, id, 2).Pages);
        }),
        new("resource.ioreq-pages-with-buffer", x =>
        {
            ushort id = x.NewServer(x.Pvh, BufferedIoreq.Atomic);
            XenMapping both = x.MapServer(x.Pvh, id, 0, 2);
            x.Step("map frames 0 and 1", "2", () => both.Pages);
            x.Step("both are zero", "yes", () => !new Span<byte>(both.Pointer, 2 * XenPage.Size).ContainsAnyExcept((byte)0));
            x.Step("map frames 1 and 2", "EINVAL", () => x.MapServer(x.Pvh, id, 1, 2).Pages);
        }),
        new("resource.ioreq-no-such-server", x =>
        {
            x.Step("map frame 1 of server 5", "ENOENT", () => x.MapServer(x.Pvh, 5, 1).Pages);
            x.Step("map frame 1 of server 99", "ENOENT", () => x.MapServer(x.Pvh, 99, 1).Pages);
        }),
        new("resource.ioreq-size", x =>
        {
            ushort id = x.NewServer(x.Pvh);
            x.Step("size, whatever the buffer", "2", () => (uint)x.Privcmd.GetResourceSize(x.Pvh, ResourceType.IoreqServer, id));
            x.Step("size for a server that is not", "2", () => (uint)x.Privcmd.GetResourceSize(x.Pvh, ResourceType.IoreqServer, 7));
        }, "Xen counts the ring of buffered requests whether or not the server has one, and does not look for the server."),
        new("resource.grant-table", x =>
        {
            x.Step("size of the grant entries", "64", () => (uint)x.Privcmd.GetResourceSize(x.Pvh, ResourceType.GrantTable, GrantTableIdShared));
            x.Step("map frame 0", "1", () => x.Own(x.Privcmd.MapResource(x.Pvh, ResourceType.GrantTable, GrantTableIdShared, 0, 1)).Pages);
            x.Step("map frame 64", "EINVAL", () => x.Own(x.Privcmd.MapResource(x.Pvh, ResourceType.GrantTable, GrantTableIdShared, 64, 1)).Pages);
            x.Step("map frames 63 and 64", "EINVAL", () => x.Own(x.Privcmd.MapResource(x.Hvm, ResourceType.GrantTable, GrantTableIdShared, 63, 2)).Pages);
        }),
        new("resource.grant-table-grows", x =>
        {
            x.Step("map frame 3", "1", () => x.Own(x.Privcmd.MapResource(x.Hvm, ResourceType.GrantTable, GrantTableIdShared, 3, 1)).Pages);
            GrantTableOp.QuerySize[] size = [new() { Dom = x.Hvm }];
            x.Step("query_size", "0", () => x.Privcmd.GrantTableOp(GrantTableOp.Command.QuerySize, size.AsSpan()));
            x.Step("frames are at least 4", "yes", () => size[0].NrFrames >= 4);
        }),
        new("resource.grant-status-of-version-1", x =>
        {
            x.Step("size of the status words", "8", () => (uint)x.Privcmd.GetResourceSize(x.Pvh, ResourceType.GrantTable, GrantTableIdStatus));
            x.Step("map status frame 0", "EINVAL", () => x.Own(x.Privcmd.MapResource(x.Pvh, ResourceType.GrantTable, GrantTableIdStatus, 0, 1)).Pages);
            x.Step("map grant table part 2", "EINVAL", () => x.Own(x.Privcmd.MapResource(x.Pvh, ResourceType.GrantTable, 2, 0, 1)).Pages);
        }),
        new("resource.unknown-type", x =>
        {
            x.Step("map type 3", "EOPNOTSUPP", () => x.Own(x.Privcmd.MapResource(x.Pvh, (ResourceType)3, 0, 0, 1)).Pages);
            x.Step("size of type 3", "0xffffffa1", () => x.Privcmd.GetResourceSize(x.Pvh, (ResourceType)3, 0));
        }, "4.17 answers the size of an unknown resource with success and an error number cast to a count."),
        new("resource.vmtrace-not-configured", x => x.Step("map vmtrace_buf 0", "EINVAL", () => x.Own(x.Privcmd.MapResource(x.Pvh, ResourceType.VmtraceBuf, 0, 0, 1)).Pages)),
        new("resource.no-such-domain", x => x.Step("domain 999", "ESRCH", () => x.Own(x.Privcmd.MapResource(Run.Nobody, ResourceType.GrantTable, 0, 0, 1)).Pages)),
        new("resource.own-domain", x => x.Step("domain 0's own grant table", "EPERM", () => x.Own(x.Privcmd.MapResource(0, ResourceType.GrantTable, 0, 0, 1)).Pages)),
        new("resource.hypercall-arguments", x =>
        {
            x.Step("acquire_resource(pad=1)", "EINVAL", () => Acquire(x, new() { Domid = x.Pvh, Type = ResourceType.GrantTable, Pad = 1 }, 0));
            x.Step("no list, nr_frames 1", "EINVAL", () => Acquire(x, new() { Domid = x.Pvh, Type = ResourceType.GrantTable, NrFrames = 1 }, 0));
            x.Step("a list, nr_frames 0", "EINVAL", () => Acquire(x, new() { Domid = x.Pvh, Type = ResourceType.GrantTable }, 1));
            x.Step("frame 2^32 - 1, nr_frames 2", "EINVAL", () => Acquire(x, new() { Domid = x.Pvh, Type = ResourceType.GrantTable, NrFrames = 2, Frame = uint.MaxValue }, 2));
            x.Step("nr_frames 1", "0", () => Acquire(x, new() { Domid = x.Pvh, Type = ResourceType.GrantTable, NrFrames = 1 }, 1));
        }),
    ];

    private static int Acquire(Run x, AcquireResource resource, int list)
    {
        using HypercallBuffer buffer = x.Privcmd.AllocateBuffer(XenPage.Size);
        resource.FrameList = buffer.Put<ulong>(new ulong[list]);
        var call = new Privcmd.Hypercall { Op = (ulong)Hypercall.MemoryOp, Arg0 = (ulong)Command.AcquireResource, Arg1 = buffer.Put(resource) };
        return x.Privcmd.Hypercall(call, buffer);
    }
}
