namespace VhostUser.Queues;

/// <summary>One queue's part of the in-flight region (GET/SET_INFLIGHT_FD): shared memory that outlives this process.</summary>
/// <param name="Pointer">First byte, 64-byte aligned within the region.</param>
/// <param name="Length">Bytes.</param>
internal sealed unsafe record InflightQueueRegion(nint Pointer, ulong Length)
{
    /// <summary>Called after every store that a successor might find: where tests end the "process". Null otherwise.</summary>
    public Action? StoreObserver { get; init; }

    public byte* Bytes => (byte*)Pointer;
}
