using Microsoft.Extensions.Logging;

namespace Backends.Block.Options;

/// <summary>The whole configuration file; the command line makes one with a single disk.</summary>
internal sealed class DaemonOptions
{
    /// <summary>Least level that is logged.</summary>
    public LogLevel LogLevel { get; set; } = LogLevel.Information;

    /// <summary>How Xen is reached, for guests whose front-end speaks XEN_MMAP: a word of the provider's.</summary>
    public string Xen { get; set; } = "auto";

    public List<DiskOptions> Devices { get; set; } = [];
}
