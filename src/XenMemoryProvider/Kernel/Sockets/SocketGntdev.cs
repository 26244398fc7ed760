using System.Buffers;
using System.Runtime.InteropServices;
using VhostXen.Linux;
using XenMemoryProvider.Abi;

namespace XenMemoryProvider.Kernel.Sockets;

/// <summary>gntdev over a connection. Mapping and unmapping allocate nothing for up to 256 grants.</summary>
internal sealed unsafe class SocketGntdev(WireConnection connection) : IGntdev
{
    private const int MaxOnStack = 256;
    private const int Head = 2 * sizeof(uint);

    public int Map(ReadOnlySpan<GrantReference> references, bool writable, out GrantMapping mapping)
    {
        mapping = default;
        if (references.IsEmpty) return -LibC.EINVAL;
        int length = Head + references.Length * sizeof(Gntdev.GrantRef);
        byte[]? rented = references.Length > MaxOnStack ? ArrayPool<byte>.Shared.Rent(length) : null;
        Span<byte> body = rented ?? stackalloc byte[Head + MaxOnStack * sizeof(Gntdev.GrantRef)];
        body = body[..length];
        MemoryMarshal.Write(body, (uint)references.Length);
        MemoryMarshal.Write(body[4..], writable ? 1u : 0u);
        Span<Gntdev.GrantRef> list = MemoryMarshal.Cast<byte, Gntdev.GrantRef>(body[Head..]);
        for (int i = 0; i < references.Length; i++) list[i] = new Gntdev.GrantRef { Domid = references[i].Domid, Ref = references[i].Reference };

        int result;
        lock (connection.Gate)
        {
            result = connection.Request(WireOp.MapGrants, body, out ReadOnlySpan<byte> reply);
            byte* range = null;
            ulong token = 0;
            int prot = writable ? LibC.PROT_READ | LibC.PROT_WRITE : LibC.PROT_READ;
            if (result >= 0) result = connection.Map(reply, references.Length, prot, ref range, default, out token, out _);
            if (result >= 0) mapping = new GrantMapping((nint)range, references.Length, token);
        }

        if (rented is not null) ArrayPool<byte>.Shared.Return(rented);
        return result;
    }

    public int Unmap(in GrantMapping mapping)
    {
        // SAFETY: the caller hands over what Map gave it, once.
        int unmapped = LibC.munmap((void*)mapping.Address, (nuint)mapping.Pages * XenPage.Size) == 0 ? 0 : -LibC.errno;
        int released = connection.Unmap(mapping.Index);
        return unmapped < 0 ? unmapped : released;
    }

    public int Copy(Span<Gntdev.GrantCopySegment> segments)
    {
        if (segments.IsEmpty) return 0;
        int list = segments.Length * sizeof(Gntdev.GrantCopySegment);
        int data = 0;
        foreach (ref readonly Gntdev.GrantCopySegment segment in segments) data += LocalSide(segment) == Side.None ? 0 : segment.Len;
        byte[] body = ArrayPool<byte>.Shared.Rent(Head + list + data);
        try
        {
            MemoryMarshal.Write(body, (uint)segments.Length);
            MemoryMarshal.Write(body.AsSpan(4), (uint)data);
            Gather(segments, MemoryMarshal.Cast<byte, Gntdev.GrantCopySegment>(body.AsSpan(Head, list)), body.AsSpan(Head + list, data));
            lock (connection.Gate)
            {
                int result = connection.Request(WireOp.GrantCopy, body.AsSpan(0, Head + list + data), out ReadOnlySpan<byte> reply);
                if (result < 0) return result;
                if (reply.Length != list + data) return -LibC.EIO;
                Scatter(segments, MemoryMarshal.Cast<byte, Gntdev.GrantCopySegment>(reply[..list]), reply[list..]);
                return result;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(body);
        }
    }

    public int SetUnmapNotify(in GrantMapping mapping, ulong? clearByteOffset, uint? port) => connection.Request(WireOp.SetUnmapNotify, new Wire.UnmapNotify
    {
        Token = mapping.Index,
        ByteOffset = clearByteOffset.GetValueOrDefault(),
        Action = (clearByteOffset is null ? 0 : Gntdev.UnmapNotifyClearByte) | (port is null ? 0 : Gntdev.UnmapNotifySendEvent),
        Port = port.GetValueOrDefault(),
    });

    public void Dispose() => connection.Dispose();

    private static Side LocalSide(in Gntdev.GrantCopySegment segment) =>
        (segment.Flags & Gntdev.CopySourceGref) == 0 ? Side.Source : (segment.Flags & Gntdev.CopyDestGref) == 0 ? Side.Dest : Side.None;

    // Local addresses become offsets into the data that travels along.
    private static void Gather(ReadOnlySpan<Gntdev.GrantCopySegment> segments, Span<Gntdev.GrantCopySegment> wire, Span<byte> data)
    {
        int at = 0;
        for (int i = 0; i < segments.Length; i++)
        {
            Gntdev.GrantCopySegment segment = segments[i];
            Side side = LocalSide(segment);
            if (side == Side.Source)
            {
                // SAFETY: the caller vouches for its local memory until this returns.
                new ReadOnlySpan<byte>((void*)segment.SourceVirt, segment.Len).CopyTo(data[at..]);
                segment.SourceVirt = (ulong)at;
            }
            else if (side == Side.Dest)
            {
                segment.DestVirt = (ulong)at;
            }

            if (side != Side.None) at += segment.Len;
            wire[i] = segment;
        }
    }

    private static void Scatter(Span<Gntdev.GrantCopySegment> segments, ReadOnlySpan<Gntdev.GrantCopySegment> wire, ReadOnlySpan<byte> data)
    {
        int at = 0;
        for (int i = 0; i < segments.Length; i++)
        {
            ref Gntdev.GrantCopySegment segment = ref segments[i];
            segment.Status = wire[i].Status;
            Side side = LocalSide(segment);

            // SAFETY: as above.
            if (side == Side.Dest && segment.Status == GrantStatus.Okay) data.Slice(at, segment.Len).CopyTo(new Span<byte>((void*)segment.DestVirt, segment.Len));
            if (side != Side.None) at += segment.Len;
        }
    }

    private enum Side
    {
        None,
        Source,
        Dest,
    }
}
