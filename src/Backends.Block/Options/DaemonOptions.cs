using Microsoft.Extensions.Logging;

namespace Backends.Block.Options;

/// <summary>The whole configuration file; the command line makes one with a single disk.</summary>
internal sealed class DaemonOptions
{
    /// <summary>Least level that is logged.</summary>
    public LogLevel LogLevel { get; set; } = LogLevel.Information;

    public List<DiskOptions> Devices { get; set; } = [];
}
