namespace XenModel.Guests.Disks;

/// <summary>
/// The requests of one lane, which has a part of the disk to itself: the same seed and lane are the same requests in the same
/// order, whatever the timing. So what the disk must hold after any number of them is known without a disk.
/// </summary>
internal sealed class DiskScript(ulong seed, int lane, long firstBlock, long blocks)
{
    /// <summary>Blocks of one request at most.</summary>
    public const int MaxCount = 8;

    private ulong _state = DiskPattern.Mix(seed) + (ulong)lane * 0x5851_f42d_4c95_7f2d;

    /// <summary>Requests taken so far.</summary>
    public int Index { get; private set; }

    public DiskOperation Next()
    {
        ulong random = DiskPattern.Mix(_state++);
        int count = 1 + (int)(random % MaxCount);
        long block = firstBlock + (long)(DiskPattern.Mix(random) % (ulong)(blocks - count + 1));
        uint shape = (uint)(random >> 32);
        Index++;
        return (random >> 8 & 0xff) switch
        {
            < 120 => new DiskOperation(DiskOperationKind.Write, block, count, (uint)Index, shape),
            < 232 => new DiskOperation(DiskOperationKind.Read, block, count, 0, shape),
            < 242 => new DiskOperation(DiskOperationKind.WriteZeroes, block, count, 0, shape),
            < 248 => new DiskOperation(DiskOperationKind.Discard, block, count, 0, shape),
            < 254 => new DiskOperation(DiskOperationKind.Flush, 0, 0, 0, shape),
            _ => new DiskOperation(DiskOperationKind.GetId, 0, 0, 0, shape),
        };
    }
}
