using System.Runtime.InteropServices;
using XenMemoryProvider.Kernel.Sockets;
using XenModel.Domains;
using XenModel.Drivers;

namespace XenModel.Server;

/// <summary>gntalloc for a client.</summary>
internal sealed class GntallocSession(Hypervisor hypervisor, Domain caller, WireChannel channel, SharedObjects objects) : WireSession(channel, objects)
{
    private const uint MaxPages = 65536;

    private readonly GntallocDevice _device = new(hypervisor, caller);

    protected override bool Handle(WireOp op, Span<byte> body) => op switch
    {
        WireOp.AllocGrants => Allocate(body),
        WireOp.Unmap => Unmap(body),
        _ => false,
    };

    private bool Allocate(Span<byte> body)
    {
        var reader = new BodyReader(body);
        uint domid = reader.Take<uint>();
        uint flags = reader.Take<uint>();
        uint count = reader.Take<uint>();
        _ = reader.Take<uint>();
        if (!reader.Complete || domid > ushort.MaxValue || flags > ushort.MaxValue || count is 0 or > MaxPages) return false;
        uint[] references = new uint[count];
        int result = _device.Allocate((ushort)domid, (ushort)flags, references, out MappedPages? pages);
        return result < 0 ? Reply(result) : ReplyMapping(Hold(pages!), pages!, default, MemoryMarshal.AsBytes<uint>(references));
    }
}
