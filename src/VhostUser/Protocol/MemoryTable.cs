namespace VhostUser.Protocol;

/// <summary>
/// Memory regions on the wire: 32 bytes each, or 40 under XEN_MMAP. The size of the message tells which, not the
/// negotiated bit: QEMU acknowledges XEN_MMAP and sends 32-byte regions all the same.
/// </summary>
internal static class MemoryTable
{
    public const int RegionSize = 32;
    public const int XenRegionSize = 40;

    /// <summary>As many as descriptors fit into one message.</summary>
    public const int MaxRegions = 253;

    private const int CountSize = 8;

    public static int TableSize(int regions, bool xen) => CountSize + (regions * (xen ? XenRegionSize : RegionSize));

    public static int SingleSize(bool xen) => CountSize + (xen ? XenRegionSize : RegionSize);

    /// <summary>The table of SET_MEM_TABLE.</summary>
    /// <exception cref="ProtocolException">Its size fits neither form.</exception>
    public static MemoryRegion[] Read(ref MessageReader reader, out bool xen)
    {
        uint count = reader.ReadUInt32();
        reader.Skip(4);
        if (count > MaxRegions)
            throw new ProtocolException(reader.Message, $"{count} regions, at most {MaxRegions} fit into a message");

        xen = count != 0 && reader.Remaining == (int)count * XenRegionSize;
        if (!xen && reader.Remaining != (int)count * RegionSize)
            throw new ProtocolException(reader.Message, $"{count} regions in {reader.Remaining} bytes are neither {RegionSize} nor {XenRegionSize} bytes each");

        var regions = new MemoryRegion[count];
        for (int i = 0; i < regions.Length; i++)
            regions[i] = ReadRegion(ref reader, xen);

        return regions;
    }

    public static void Write(ref MessageWriter writer, scoped ReadOnlySpan<MemoryRegion> regions, bool xen)
    {
        writer.WriteUInt32((uint)regions.Length);
        writer.WriteZeroes(4);
        foreach (ref readonly MemoryRegion region in regions)
            WriteRegion(ref writer, region, xen);
    }

    /// <summary>The one region of ADD_MEM_REG and REM_MEM_REG.</summary>
    public static MemoryRegion ReadSingle(ref MessageReader reader, out bool xen)
    {
        reader.Skip(CountSize);
        xen = reader.Remaining == XenRegionSize;
        return ReadRegion(ref reader, xen);
    }

    public static void WriteSingle(ref MessageWriter writer, in MemoryRegion region, bool xen)
    {
        writer.WriteZeroes(CountSize);
        WriteRegion(ref writer, region, xen);
    }

    private static MemoryRegion ReadRegion(ref MessageReader reader, bool xen)
    {
        var region = new MemoryRegion(
            new GuestAddress(reader.ReadUInt64()),
            reader.ReadUInt64(),
            new FrontendAddress(reader.ReadUInt64()),
            reader.ReadUInt64());
        if (!xen)
            return region;

        var flags = (XenMmapFlags)reader.ReadUInt32();
        if ((flags & XenMmapFlags.NoAdvanceMapRustVmm) != 0)
            flags = (flags & ~XenMmapFlags.NoAdvanceMapRustVmm) | XenMmapFlags.NoAdvanceMap;

        return region with { XenFlags = flags, XenDomain = reader.ReadUInt32() };
    }

    private static void WriteRegion(ref MessageWriter writer, in MemoryRegion region, bool xen)
    {
        writer.WriteUInt64(region.GuestAddress.Value);
        writer.WriteUInt64(region.Size);
        writer.WriteUInt64(region.UserAddress.Value);
        writer.WriteUInt64(region.MmapOffset);
        if (!xen)
            return;

        writer.WriteUInt32((uint)region.XenFlags);
        writer.WriteUInt32(region.XenDomain);
    }
}
