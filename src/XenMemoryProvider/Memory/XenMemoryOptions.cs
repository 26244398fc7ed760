using System.ComponentModel.DataAnnotations;

namespace XenMemoryProvider.Memory;

/// <summary>How <see cref="XenGuestMemoryProvider"/> treats guests.</summary>
public sealed class XenMemoryOptions
{
    /// <summary>What to do about pages that a guest does not have.</summary>
    public HolePolicy Holes { get; set; } = HolePolicy.Leave;

    /// <summary>How long a region may wait for pages that Xen has paged out.</summary>
    public TimeSpan PagingTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Buffers of one chain and direction up to so many bytes in all are copied out of or into grants rather than mapped;
    /// 0 maps all. Copying was the cheaper of the two at every size measured (README.md); the limit bounds the memory that
    /// chains in flight hold, twice this each.
    /// </summary>
    [Range(0, 1 << 20)]
    public int CopyLimit { get; set; } = 131072;

    /// <summary>The most granted pages that one chain may have mapped; a chain over it fails.</summary>
    [Range(1, XenRegion.MaxGrantPages)]
    public int MaxPagesPerChain { get; set; } = 8192;

    /// <summary>Serve this domain only and refuse regions of others; null serves any.</summary>
    public ushort? OnlyDomain { get; set; }
}
