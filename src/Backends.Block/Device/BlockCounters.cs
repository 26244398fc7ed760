namespace Backends.Block.Device;

/// <summary>What one queue of a disk did since it exists. Written by its worker, read by anybody.</summary>
internal sealed class BlockCounters
{
    private long _bytesRead;
    private long _bytesWritten;
    private long _flushes;
    private long _discards;
    private long _failed;

    public long BytesRead => Volatile.Read(ref _bytesRead);

    public long BytesWritten => Volatile.Read(ref _bytesWritten);

    public long Flushes => Volatile.Read(ref _flushes);

    /// <summary>Discard and write-zeroes requests.</summary>
    public long Discards => Volatile.Read(ref _discards);

    /// <summary>Requests that ended with a status other than OK.</summary>
    public long Failed => Volatile.Read(ref _failed);

    // One writer each: a plain addition is enough, the reader sees a whole value.
    internal void CountRead(ulong bytes) => _bytesRead += (long)bytes;

    internal void CountWrite(ulong bytes) => _bytesWritten += (long)bytes;

    internal void CountFlush() => _flushes++;

    internal void CountDiscard() => _discards++;

    internal void CountFailure() => _failed++;
}
