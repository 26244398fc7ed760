using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel.Sockets;
using XenModel.Domains;
using XenModel.Drivers;

namespace XenModel.Server;

/// <summary>privcmd for a client.</summary>
internal sealed class PrivcmdSession(Hypervisor hypervisor, Domain caller, WireChannel channel, SharedObjects objects) : WireSession(channel, objects)
{
    // 64 GiB: more than any guest here has.
    private const uint MaxPages = 1 << 24;

    private readonly PrivcmdDevice _device = new(hypervisor, caller);

    protected override bool Handle(WireOp op, Span<byte> body)
    {
        switch (op)
        {
            case WireOp.MapForeign:
                return MapForeign(body);
            case WireOp.MapResource:
                return MapResource(body);
            case WireOp.GetResourceSize:
                return GetResourceSize(body);
            case WireOp.Unmap:
                return Unmap(body);
            case WireOp.DmOp:
                return DmOp(body);
            case WireOp.Hypercall:
                return Hypercall(body);
            case WireOp.Restrict:
                var reader = new BodyReader(body);
                uint domid = reader.Take<uint>();
                return reader.Complete && domid <= ushort.MaxValue && Reply(_device.Restrict((ushort)domid));
            default:
                return false;
        }
    }

    private bool MapForeign(Span<byte> body)
    {
        var reader = new BodyReader(body);
        var request = reader.Take<Wire.MapForeign>();
        ReadOnlySpan<Wire.GfnRun> runs = reader.TakeArray<Wire.GfnRun>(request.Runs);
        if (!reader.Complete || request.Domid > ushort.MaxValue || request.Pages is 0 or > MaxPages) return false;
        ulong[] gfns = new ulong[request.Pages];
        ulong filled = 0;
        foreach (Wire.GfnRun run in runs)
        {
            if (run.Count > request.Pages - filled) return false;
            for (uint i = 0; i < run.Count; i++) gfns[filled++] = run.First + i;
        }

        if (filled != request.Pages) return false;
        Held? held = null;
        if (request.Token != 0)
        {
            held = Find(request.Token);
            if (held is null || request.Pages > (uint)held.Missing) return Reply(-LibC.EINVAL);
        }

        var pages = new MappedPages(hypervisor, gfns.Length) { Writable = (request.Prot & LibC.PROT_WRITE) != 0 };
        int[] errors = new int[gfns.Length];
        int result = _device.MapForeign((ushort)request.Domid, gfns, pages, 0, errors);
        if (result < 0) return Reply(result);
        int missing = errors.Count(error => error != 0);
        ulong token = request.Token;
        if (held is null) token = Hold(pages, missing);
        else held.Add(pages, gfns.Length - missing);
        return ReplyMapping(token, pages, errors, default);
    }

    private bool MapResource(Span<byte> body)
    {
        var reader = new BodyReader(body);
        var request = reader.Take<Wire.Resource>();
        if (!reader.Complete || request.Domid > ushort.MaxValue || request.Type > ushort.MaxValue || request.Count is 0 or > MaxPages) return false;
        int result = _device.MapResource((ushort)request.Domid, (MemoryOp.ResourceType)request.Type, request.Id, request.Frame, (int)request.Count, out MappedPages? pages);
        return result < 0 ? Reply(result) : ReplyMapping(Hold(pages!), pages!, default, default);
    }

    private bool GetResourceSize(Span<byte> body)
    {
        var reader = new BodyReader(body);
        var request = reader.Take<Wire.Resource>();
        if (!reader.Complete || request.Domid > ushort.MaxValue || request.Type > ushort.MaxValue) return false;
        int result = _device.ResourceSize((ushort)request.Domid, (MemoryOp.ResourceType)request.Type, request.Id, out ulong count);
        return result < 0 ? Reply(result) : Reply(result, count);
    }

    private unsafe bool DmOp(Span<byte> body)
    {
        var reader = new BodyReader(body);
        uint domid = reader.Take<uint>();
        uint extra = reader.Take<uint>();
        Span<byte> call = reader.TakeBytes((ulong)sizeof(DmOp.Call));
        Span<byte> second = reader.TakeBytes(extra);
        if (!reader.Complete || domid > ushort.MaxValue) return false;
        int result = _device.DmOp((ushort)domid, call, second);
        return result < 0 ? Reply(result) : Reply(result, body[(2 * sizeof(uint))..]);
    }

    private bool Hypercall(Span<byte> body)
    {
        var reader = new BodyReader(body);
        var call = reader.Take<Privcmd.Hypercall>();
        ulong address = reader.Take<ulong>();
        uint length = reader.Take<uint>();
        _ = reader.Take<uint>();
        Span<byte> buffer = reader.TakeBytes(length);
        return reader.Complete && Reply(_device.Hypercall(call, new CallerMemory(buffer, address)), buffer);
    }
}
