using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;
using XenMemoryProvider.Kernel.Sockets;
using XenModel.Domains;
using XenModel.Drivers;

namespace XenModel.Server;

/// <summary>gntdev for a client.</summary>
internal sealed class GntdevSession(Hypervisor hypervisor, Domain caller, WireChannel channel, SharedObjects objects) : WireSession(channel, objects)
{
    private readonly GntdevDevice _device = new(hypervisor, caller);

    protected override bool Handle(WireOp op, Span<byte> body)
    {
        switch (op)
        {
            case WireOp.MapGrants:
                return Map(body);
            case WireOp.Unmap:
                return Unmap(body);
            case WireOp.GrantCopy:
                return Copy(body);
            case WireOp.SetUnmapNotify:
                var reader = new BodyReader(body);
                var notify = reader.Take<Wire.UnmapNotify>();
                if (!reader.Complete) return false;
                return Reply(Find(notify.Token) is { } held ? _device.SetUnmapNotify(held.First, notify.ByteOffset, notify.Action, notify.Port) : -LibC.ENOENT);
            default:
                return false;
        }
    }

    private bool Map(Span<byte> body)
    {
        var reader = new BodyReader(body);
        uint count = reader.Take<uint>();
        uint writable = reader.Take<uint>();
        ReadOnlySpan<Gntdev.GrantRef> list = reader.TakeArray<Gntdev.GrantRef>(count);
        if (!reader.Complete || writable > 1) return false;
        var references = new GrantReference[list.Length];
        for (int i = 0; i < list.Length; i++)
        {
            // A number that is no domain's at all.
            if (list[i].Domid > ushort.MaxValue) return Reply(-LibC.EINVAL);
            references[i] = new GrantReference((ushort)list[i].Domid, list[i].Ref);
        }

        int result = _device.Map(references, writable != 0, out MappedPages? pages);
        return result < 0 ? Reply(result) : ReplyMapping(Hold(pages!), pages!, default, default);
    }

    private bool Copy(Span<byte> body)
    {
        var reader = new BodyReader(body);
        uint count = reader.Take<uint>();
        uint length = reader.Take<uint>();
        Span<Gntdev.GrantCopySegment> segments = reader.TakeArray<Gntdev.GrantCopySegment>(count);
        Span<byte> data = reader.TakeBytes(length);
        if (!reader.Complete) return false;
        int result = _device.Copy(segments, new CallerMemory(data, 0));
        return result < 0 ? Reply(result) : Reply(result, body[(2 * sizeof(uint))..]);
    }
}
