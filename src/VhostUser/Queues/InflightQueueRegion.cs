namespace VhostUser.Queues;

/// <summary>One queue's part of the in-flight region (GET/SET_INFLIGHT_FD): shared memory that outlives this process.</summary>
/// <param name="Pointer">First byte, 64-byte aligned within the region.</param>
/// <param name="Length">Bytes.</param>
internal sealed unsafe record InflightQueueRegion(nint Pointer, ulong Length)
{
    public byte* Bytes => (byte*)Pointer;
}
