using System.Runtime.InteropServices;
using VhostXen.Linux;
using XenMemoryProvider.Abi;

namespace XenMemoryProvider.Kernel.Sockets;

/// <summary>gntalloc over a connection.</summary>
internal sealed unsafe class SocketGntalloc(WireConnection connection) : IGntalloc, IXenMappingOwner
{
    public XenMapping Allocate(ushort domid, bool writable, Span<uint> references)
    {
        ArgumentOutOfRangeException.ThrowIfZero(references.Length);
        Span<uint> body = [domid, writable ? Gntalloc.FlagWritable : 0u, (uint)references.Length, 0];
        lock (connection.Gate)
        {
            int result = connection.Request(WireOp.AllocGrants, MemoryMarshal.AsBytes(body), out ReadOnlySpan<byte> reply);
            byte* range = null;
            ulong token = 0;
            ReadOnlySpan<byte> rest = default;
            if (result >= 0) result = connection.Map(reply, references.Length, LibC.PROT_READ | LibC.PROT_WRITE, ref range, default, out token, out rest);
            XenException.Check(result, "GNTALLOC_ALLOC_GREF", domid);
            var mapping = new XenMapping(MappedMemory.Adopt(range, (nuint)references.Length * XenPage.Size), this, token);
            if (rest.Length == references.Length * sizeof(uint))
            {
                MemoryMarshal.Cast<byte, uint>(rest).CopyTo(references);
                return mapping;
            }

            mapping.Dispose();
            throw new XenException("GNTALLOC_ALLOC_GREF", domid, LibC.EIO);
        }
    }

    public void Unmapped(XenMapping mapping, ulong token) => connection.Unmap(token);

    public void Dispose() => connection.Dispose();
}
