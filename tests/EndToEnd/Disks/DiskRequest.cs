using System.Buffers.Binary;
using VhostUser.Memory;
using VhostUser.Protocol;

namespace EndToEnd.Disks;

/// <summary>A virtio-blk request in guest memory that is filled in again and again.</summary>
internal sealed class DiskRequest(DiskGuest guest)
{
    public const uint In = 0, Out = 1, Flush = 4, GetId = 8;
    private const byte NoStatus = 0xee;

    private readonly GuestAddress _header = guest.Memory.Allocate(16, 16, guest.Readable);
    private readonly GuestAddress _readable = guest.Memory.Allocate(DiskDriver.MaxBytes, 512, guest.Readable);
    private readonly GuestAddress _writable = guest.Memory.Allocate(DiskDriver.MaxBytes, 512, guest.Writable);
    private readonly GuestAddress _status = guest.Memory.Allocate(1, 1, guest.Writable);

    public GuestRange[] Chain { get; private set; } = [];

    public long Sector { get; private set; }

    public int Length { get; private set; }

    public uint Type { get; private set; }

    public byte Status => Volatile.Read(ref guest.Memory.Span(_status, 1)[0]);

    /// <summary>What is to be written, or what was read.</summary>
    public Span<byte> Data => guest.Memory.Span(Type == Out ? _readable : _writable, Length);

    /// <summary>Says what is wanted.</summary>
    /// <param name="pieces">Into so many descriptors its data is cut.</param>
    public DiskRequest Fill(uint type, long sector, int length, int pieces = 1)
    {
        (Type, Sector, Length) = (type, sector, length);
        Span<byte> header = guest.Memory.Span(_header, 16);
        header.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(header, type);
        BinaryPrimitives.WriteInt64LittleEndian(header[8..], sector);
        guest.Memory.Span(_status, 1)[0] = NoStatus;

        var chain = new List<GuestRange> { new(_header, 16, false) };
        GuestAddress data = type == Out ? _readable : _writable;
        for (int i = 0, at = 0; i < pieces && at < length; i++)
        {
            int part = i == pieces - 1 ? length - at : Math.Min(length - at, (length / pieces) + i);
            chain.Add(new GuestRange(new GuestAddress(data.Value + (ulong)at), (uint)part, type != Out));
            at += part;
        }
        chain.Add(new GuestRange(_status, 1, true));
        Chain = [.. chain];
        return this;
    }

    /// <summary>Replaces the data by a buffer of the test's choosing.</summary>
    public DiskRequest WithData(GuestAddress address, uint length)
    {
        Chain = [Chain[0], new GuestRange(address, length, Type != Out), Chain[^1]];
        return this;
    }
}
