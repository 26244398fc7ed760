namespace VhostUser.Protocol;

/// <summary>The reply to GET_SHMEM_CONFIG: the size of each shared memory region, by its id; 0 for none.</summary>
internal static class SharedMemoryConfig
{
    public const int MaxRegions = 256;
    public const int WireSize = 8 + (MaxRegions * 8);

    public static void Write(ref MessageWriter writer, ReadOnlySpan<ulong> sizes)
    {
        writer.WriteUInt32((uint)(sizes.Length - sizes.Count(0UL)));
        writer.WriteZeroes(4);
        foreach (ulong size in sizes)
            writer.WriteUInt64(size);

        writer.WriteZeroes((MaxRegions - sizes.Length) * 8);
    }

    /// <returns>Sizes in bytes, one per id.</returns>
    public static ulong[] Read(ref MessageReader reader)
    {
        uint count = reader.ReadUInt32();
        reader.Skip(4);
        ulong[] sizes = new ulong[MaxRegions];
        for (int i = 0; i < MaxRegions; i++)
            sizes[i] = reader.ReadUInt64();

        return count <= MaxRegions
            ? sizes
            : throw new ProtocolException(reader.Message, $"{count} regions, at most {MaxRegions} exist");
    }
}
