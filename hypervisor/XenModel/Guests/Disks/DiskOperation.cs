namespace XenModel.Guests.Disks;

internal enum DiskOperationKind : byte
{
    Write,
    Read,
    Flush,
    WriteZeroes,
    Discard,
    GetId,
}

/// <summary>One request of a script.</summary>
/// <param name="Block">First block of <see cref="DiskPattern.BlockSize"/> bytes.</param>
/// <param name="Count">Blocks; 0 for a flush.</param>
/// <param name="Version">Of what is written.</param>
/// <param name="Shape">Random bits that say how the buffers are cut.</param>
internal readonly record struct DiskOperation(DiskOperationKind Kind, long Block, int Count, uint Version, uint Shape)
{
    public bool Overlaps(in DiskOperation other) => Block < other.Block + other.Count && other.Block < Block + Count;
}
