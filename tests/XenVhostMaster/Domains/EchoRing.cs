using XenModel.Domains;

namespace XenVhostMaster.Tests.Domains;

/// <summary>A split ring in guest memory for an echo device: requests of one readable and one writable buffer.</summary>
internal sealed class EchoRing(Domain guest, int index)
{
    public const int Size = 16;

    private readonly ulong _start = 0x10_0000 + (ulong)index * 0x1_0000;
    private ushort _available;
    private ushort _used;

    public ulong Descriptors => _start;

    public ulong Driver => _start + 0x1000;

    public ulong Device => _start + 0x2000;

    public bool HasAnswer => guest.Memory.Read<ushort>(Device + 2) != _used;

    /// <summary>As before the first request.</summary>
    public void Clear()
    {
        guest.Memory.TryWrite(_start, new byte[0x4000]);
        _available = _used = 0;
    }

    /// <summary>Makes a request available.</summary>
    public void Push(ReadOnlySpan<byte> data)
    {
        int head = 2 * (_available % (Size / 2));
        ulong buffer = Buffer(head);
        guest.Memory.TryWrite(buffer, data);
        guest.Memory.TryWrite(buffer + 0x100, new byte[0x100]);
        Describe(head, buffer, (uint)data.Length, 1, head + 1);
        Describe(head + 1, buffer + 0x100, (uint)data.Length, 2, 0);
        guest.Memory.Write(Driver + 4 + 2 * ((ulong)_available % Size), (ushort)head);
        Thread.MemoryBarrier();
        guest.Memory.Write(Driver + 2, ++_available);
    }

    /// <summary>Takes the oldest answer, which must be there.</summary>
    public byte[] Pop()
    {
        ulong entry = Device + 4 + 8 * ((ulong)_used++ % Size);
        byte[] data = new byte[guest.Memory.Read<uint>(entry + 4)];
        guest.Memory.TryRead(Buffer((int)guest.Memory.Read<uint>(entry)) + 0x100, data);
        return data;
    }

    private ulong Buffer(int head) => _start + 0x3000 + (ulong)head * 0x100;

    private void Describe(int at, ulong address, uint length, ushort flags, int next)
    {
        ulong descriptor = Descriptors + 16 * (ulong)at;
        guest.Memory.Write(descriptor, address);
        guest.Memory.Write(descriptor + 8, length);
        guest.Memory.Write(descriptor + 12, flags);
        guest.Memory.Write(descriptor + 14, (ushort)next);
    }
}
