namespace XenModel.Guests.Disks;

/// <summary>The host's own look at a disk image: what must be in it after a guest's requests, found without asking the guest.</summary>
public static class DiskImageCheck
{
    /// <summary>Replays the scripts and compares every byte of the image.</summary>
    /// <param name="path">The image.</param>
    /// <param name="seed">The guests' seed.</param>
    /// <param name="lanes">Queues that they used.</param>
    /// <param name="requestsPerLane">Requests of each lane over all the guests' lives.</param>
    /// <returns>Bytes compared.</returns>
    /// <exception cref="GuestCheckException">The image differs.</exception>
    public static long Run(string path, ulong seed, int lanes, int requestsPerLane)
    {
        using FileStream image = File.OpenRead(path);
        var disk = new DiskLanes(seed, lanes, image.Length / DiskPattern.BlockSize);
        disk.Skip(requestsPerLane);
        byte[] data = new byte[64 * DiskPattern.BlockSize];
        for (long block = 0; block < disk.Ledger.Blocks;)
        {
            int count = (int)Math.Min(64, disk.Ledger.Blocks - block);
            Span<byte> part = data.AsSpan(0, count * DiskPattern.BlockSize);
            image.ReadExactly(part);
            if (disk.Ledger.Compare(part, block) is >= 0 and long wrong)
                throw new GuestCheckException($"{path}: block {wrong} is not what the guest wrote (version {disk.Ledger.VersionOf(wrong)})");
            block += count;
        }

        return image.Length;
    }
}
