namespace XenModel.Guests.Disks;

/// <summary>What each block of a disk should hold.</summary>
internal sealed class DiskLedger
{
    private const uint Discarded = 1u << 31;

    private readonly uint[] _versions;
    private readonly byte[] _expected = new byte[DiskPattern.BlockSize];

    public DiskLedger(ulong seed, long blocks)
    {
        Seed = seed;
        _versions = new uint[blocks];
    }

    /// <summary>The same for another thread: shares the versions, so each must keep to blocks of its own.</summary>
    public DiskLedger(DiskLedger shared)
    {
        Seed = shared.Seed;
        _versions = shared._versions;
    }

    public long Blocks => _versions.Length;

    public ulong Seed { get; }

    public void Apply(in DiskOperation operation)
    {
        Span<uint> range = _versions.AsSpan((int)operation.Block, operation.Count);
        switch (operation.Kind)
        {
            case DiskOperationKind.Write:
                range.Fill(operation.Version);
                break;
            case DiskOperationKind.WriteZeroes:
                range.Clear();
                break;
            case DiskOperationKind.Discard:
                // What a discarded block reads as is the device's choice: what it was, or zeroes.
                foreach (ref uint version in range) version |= version == 0 ? 0 : Discarded;
                break;
        }
    }

    /// <summary>Compares every byte.</summary>
    /// <param name="data">Whole blocks.</param>
    /// <returns>The first block that is wrong, or -1.</returns>
    public long Compare(ReadOnlySpan<byte> data, long block)
    {
        for (; !data.IsEmpty; block++, data = data[DiskPattern.BlockSize..])
        {
            uint version = _versions[block];
            DiskPattern.Fill(_expected, Seed, block, version & ~Discarded);
            ReadOnlySpan<byte> found = data[..DiskPattern.BlockSize];
            if (!found.SequenceEqual(_expected) && ((version & Discarded) == 0 || found.ContainsAnyExcept((byte)0))) return block;
        }

        return -1;
    }

    public uint VersionOf(long block) => _versions[block] & ~Discarded;
}
