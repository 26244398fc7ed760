namespace XenModel.Guests.Disks;

/// <summary>What a guest has done. Written by its virtual CPU, read by anybody.</summary>
public sealed class DiskCounters
{
    public long Requests { get; private set; }

    public long Flushes { get; private set; }

    /// <summary>WRITE_ZEROES and DISCARD.</summary>
    public long Clearings { get; private set; }

    public long IndirectRequests { get; internal set; }

    public long BytesWritten { get; private set; }

    /// <summary>Bytes read, each compared with what it must be.</summary>
    public long BytesVerified { get; private set; }

    public int MostInFlight { get; internal set; }

    internal void Count(in DiskOperation operation, int length)
    {
        Requests++;
        switch (operation.Kind)
        {
            case DiskOperationKind.Write:
                BytesWritten += length;
                break;
            case DiskOperationKind.Read:
                BytesVerified += length;
                break;
            case DiskOperationKind.Flush:
                Flushes++;
                break;
            case DiskOperationKind.Discard or DiskOperationKind.WriteZeroes:
                Clearings++;
                break;
        }
    }

    internal void Add(DiskCounters other)
    {
        Requests += other.Requests;
        Flushes += other.Flushes;
        Clearings += other.Clearings;
        IndirectRequests += other.IndirectRequests;
        BytesWritten += other.BytesWritten;
        BytesVerified += other.BytesVerified;
        MostInFlight = Math.Max(MostInFlight, other.MostInFlight);
    }
}
