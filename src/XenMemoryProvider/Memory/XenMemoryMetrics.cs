using System.Diagnostics.Metrics;

namespace XenMemoryProvider.Memory;

/// <summary>Counters of the data path: what can repeat is counted, not logged.</summary>
internal static class XenMemoryMetrics
{
    private static readonly Meter Meter = new("VhostXen.XenMemory");

    internal static readonly Counter<long> GrantPagesMapped = Meter.CreateCounter<long>("vhostxen.xen.grant_pages_mapped", "{page}");

    internal static readonly Counter<long> GrantCopies = Meter.CreateCounter<long>("vhostxen.xen.grant_copies", "{copy}");

    /// <summary>Chains and copies that failed: revoked, never granted, another direction.</summary>
    internal static readonly Counter<long> GrantFailures = Meter.CreateCounter<long>("vhostxen.xen.grant_failures", "{failure}");
}
