using System.Buffers;
using System.Runtime.InteropServices;
using VhostXen.Linux;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel.Linux;

namespace XenMemoryProvider.Kernel.Sockets;

/// <summary>privcmd over a connection.</summary>
internal sealed unsafe class SocketPrivcmd(WireConnection connection) : IPrivcmd, IXenMappingOwner
{
    public XenMapping MapForeign(ushort domid, ReadOnlySpan<ulong> gfns, int prot, Span<int> errors, TimeSpan pagingTimeout)
    {
        ArgumentOutOfRangeException.ThrowIfZero(gfns.Length);
        ArgumentOutOfRangeException.ThrowIfNotEqual(errors.Length, gfns.Length);
        fixed (ulong* frames = gfns)
        fixed (int* results = errors)
        {
            var batch = new Batch(connection, domid, prot, frames, results);
            int result = PagingRetry.Run(ref batch, errors, pagingTimeout);
            if (result >= 0) return new XenMapping(batch.Memory!, this, batch.Token);
            throw new XenException("MMAPBATCH_V2", domid, -result);
        }
    }

    public XenMapping MapResource(ushort domid, MemoryOp.ResourceType type, uint id, uint frame, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        var resource = new Wire.Resource { Domid = domid, Type = (uint)type, Id = id, Frame = frame, Count = (uint)count };
        lock (connection.Gate)
        {
            int result = connection.Request(WireOp.MapResource, Bytes(ref resource), out ReadOnlySpan<byte> reply);
            byte* range = null;
            ulong token = 0;
            if (result >= 0) result = connection.Map(reply, count, LibC.PROT_READ | LibC.PROT_WRITE, ref range, default, out token, out _);
            XenException.Check(result, $"MMAP_RESOURCE {type} {id}", domid);
            return new XenMapping(MappedMemory.Adopt(range, (nuint)count * XenPage.Size), this, token);
        }
    }

    public ulong GetResourceSize(ushort domid, MemoryOp.ResourceType type, uint id)
    {
        var resource = new Wire.Resource { Domid = domid, Type = (uint)type, Id = id };
        lock (connection.Gate)
        {
            XenException.Check(connection.Request(WireOp.GetResourceSize, Bytes(ref resource), out ReadOnlySpan<byte> reply), $"MMAP_RESOURCE {type} {id}", domid);
            return reply.Length == sizeof(ulong) ? MemoryMarshal.Read<ulong>(reply) : throw new XenException("MMAP_RESOURCE", domid, LibC.EIO);
        }
    }

    public int DmOp(ushort domid, ref DmOp.Call call, Span<byte> extra = default)
    {
        if (extra.Length > Privcmd.DmOpMaxBufferSize) return -LibC.E2BIG;
        int length = 2 * sizeof(uint) + sizeof(DmOp.Call) + extra.Length;
        Span<byte> body = stackalloc byte[2 * sizeof(uint) + sizeof(DmOp.Call) + Privcmd.DmOpMaxBufferSize];
        MemoryMarshal.Write(body, (uint)domid);
        MemoryMarshal.Write(body[4..], (uint)extra.Length);
        MemoryMarshal.Write(body[8..], call);
        extra.CopyTo(body[(8 + sizeof(DmOp.Call))..]);
        lock (connection.Gate)
        {
            int result = connection.Request(WireOp.DmOp, body[..length], out ReadOnlySpan<byte> reply);
            if (result < 0) return result;
            if (reply.Length != sizeof(DmOp.Call) + extra.Length) return -LibC.EIO;
            call = MemoryMarshal.Read<DmOp.Call>(reply);
            reply[sizeof(DmOp.Call)..].CopyTo(extra);
            return result;
        }
    }

    public HypercallBuffer AllocateBuffer(int bytes) => new(MappedMemory.Anonymous(XenPage.RoundUp((nuint)Math.Max(bytes, 1))), neverFaults: true);

    public int Hypercall(in Privcmd.Hypercall call, HypercallBuffer buffer)
    {
        Span<byte> used = buffer.Used;
        int head = sizeof(Privcmd.Hypercall) + 16;
        byte[] body = ArrayPool<byte>.Shared.Rent(head + used.Length);
        try
        {
            MemoryMarshal.Write(body, call);
            MemoryMarshal.Write(body.AsSpan(sizeof(Privcmd.Hypercall)), buffer.Address);
            MemoryMarshal.Write(body.AsSpan(sizeof(Privcmd.Hypercall) + 8), (ulong)used.Length);
            used.CopyTo(body.AsSpan(head));
            lock (connection.Gate)
            {
                int result = connection.Request(WireOp.Hypercall, body.AsSpan(0, head + used.Length), out ReadOnlySpan<byte> reply);
                if (reply.Length == used.Length) reply.CopyTo(used);
                return result;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(body);
            GC.KeepAlive(buffer);
        }
    }

    public void Restrict(ushort domid) => XenException.Check(connection.Request(WireOp.Restrict, (uint)domid), "PRIVCMD_RESTRICT", domid);

    public void Unmapped(XenMapping mapping, ulong token) => connection.Unmap(token);

    public void Dispose() => connection.Dispose();

    private static ReadOnlySpan<byte> Bytes<T>(ref T value)
        where T : unmanaged => MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value));

    /// <summary>Maps a part of one mapping; the first part makes it.</summary>
    private struct Batch(WireConnection connection, ushort domid, int prot, ulong* gfns, int* errors) : IMapBatch
    {
        public MappedMemory? Memory { get; private set; }

        public ulong Token { get; private set; }

        public int Map(int first, int count)
        {
            Span<Wire.GfnRun> runs = Runs(new ReadOnlySpan<ulong>(gfns + first, count));
            byte[] body = new byte[sizeof(Wire.MapForeign) + runs.Length * sizeof(Wire.GfnRun)];
            MemoryMarshal.Write(body, new Wire.MapForeign { Token = Token, Domid = domid, Prot = (uint)prot, Pages = (uint)count, Runs = (uint)runs.Length });
            MemoryMarshal.AsBytes(runs).CopyTo(body.AsSpan(sizeof(Wire.MapForeign)));
            var results = new Span<int>(errors + first, count);
            results.Clear();
            lock (connection.Gate)
            {
                int result = connection.Request(WireOp.MapForeign, body, out ReadOnlySpan<byte> reply);
                if (result < 0) return result;
                byte* range = Memory is null ? null : Memory.Pointer + (nuint)first * XenPage.Size;
                result = connection.Map(reply, count, prot, ref range, results, out ulong token, out _);
                if (result < 0) return result;
                if (Memory is not null) return 0;
                Memory = MappedMemory.Adopt(range, (nuint)count * XenPage.Size);
                Token = token;
                return 0;
            }
        }

        private static Span<Wire.GfnRun> Runs(ReadOnlySpan<ulong> frames)
        {
            var runs = new List<Wire.GfnRun>();
            for (int i = 0; i < frames.Length;)
            {
                int length = 1;
                while (i + length < frames.Length && frames[i + length] == frames[i] + (uint)length) length++;
                runs.Add(new Wire.GfnRun { First = frames[i], Count = (uint)length });
                i += length;
            }

            return CollectionsMarshal.AsSpan(runs);
        }
    }
}
