using XenModel.Guests.Virtio;

namespace XenModel.Guests.Disks;

/// <summary>Room for one request: header, data, status byte, and an indirect table.</summary>
internal sealed class BlockSlot(DmaMemory memory)
{
    private const int HeaderSize = 16;
    private const int MaxSegments = 4;

    /// <summary>Bytes of memory that a slot takes, roundings included.</summary>
    public const int Footprint = HeaderSize + DiskScript.MaxCount * DiskPattern.BlockSize + 16 + 16 * TableEntries + 16;

    // Header, segments, status.
    private const int TableEntries = MaxSegments + 2;

    public DmaBuffer Header { get; } = memory.Allocate(HeaderSize);

    public DmaBuffer Data { get; } = memory.Allocate(DiskScript.MaxCount * DiskPattern.BlockSize);

    public DmaBuffer Status { get; } = memory.Allocate(1);

    public DmaBuffer Table { get; } = memory.Allocate(16 * TableEntries);

    public DiskOperation Operation { get; set; }

    /// <summary>Bytes of <see cref="Data"/> in use.</summary>
    public int Length { get; set; }

    /// <summary>Cuts the data into one to four buffers, at any byte: by the operation's shape.</summary>
    public int Cut(Span<DmaBuffer> segments)
    {
        uint shape = Operation.Shape;
        int count = Length < MaxSegments ? 1 : 1 + (int)(shape % MaxSegments);
        int start = 0;
        for (int i = 0; i < count; i++)
        {
            int left = Length - start - (count - 1 - i);
            int length = i == count - 1 ? left : 1 + (int)((shape >> (4 + 4 * i) & 0xfff) * (uint)left / 0x1000);
            if (i < count - 1 && length > left) length = left;
            segments[i] = Data.Slice(start, length);
            start += length;
        }

        return count;
    }
}
