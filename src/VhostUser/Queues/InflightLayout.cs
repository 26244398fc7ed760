namespace VhostUser.Queues;

/// <summary>
/// Layout of the in-flight region (vhost-user, "Inflight I/O tracking"): fixed by the specification, except for the
/// 64 bytes that queues are rounded up to, which is what libvhost-user and DPDK do; a successor may be either.
/// </summary>
internal static class InflightLayout
{
    public const int SplitHeader = 16;
    public const int SplitEntry = 16;
    public const int PackedHeader = 32;
    public const int PackedEntry = 32;

    /// <summary>The only version there is; 0 is a region not used yet.</summary>
    public const ushort Version = 1;

    private const ulong Alignment = 64;

    /// <summary>Bytes that one queue needs.</summary>
    public static ulong Bytes(bool packed, int queueSize)
        => packed
            ? PackedHeader + (PackedEntry * (ulong)queueSize)
            : SplitHeader + (SplitEntry * (ulong)queueSize);

    /// <summary>Bytes from one queue to the next.</summary>
    public static ulong Stride(bool packed, int queueSize) => (Bytes(packed, queueSize) + (Alignment - 1)) & ~(Alignment - 1);

    /// <summary>
    /// Bytes of the whole region. Both numbers come from the front-end and are 16 bits wide (CVE-2021-3839): no
    /// product overflows, and 0 is the answer to what no ring can be.
    /// </summary>
    public static ulong Sizes(bool packed, int numQueues, int queueSize)
        => numQueues is < 1 or > ushort.MaxValue || queueSize is < 1 or > 32768 ? 0 : Stride(packed, queueSize) * (ulong)numQueues;
}
