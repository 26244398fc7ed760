using System.ComponentModel.DataAnnotations;

namespace XenMemoryProvider.Store;

/// <summary>How patient a <see cref="XenStore"/> is.</summary>
public sealed class XenStoreOptions
{
    /// <summary>How long one request may take, its sending included. The connection survives a late reply.</summary>
    public TimeSpan RequestTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How often a transaction is run before its conflicts (EAGAIN) are an error.</summary>
    [Range(1, 10_000)]
    public int TransactionAttempts { get; set; } = 50;

    /// <summary>Events of one watch that wait to be read. Beyond it they are replaced by one event that names the watched path.</summary>
    [Range(1, 1_000_000)]
    public int WatchCapacity { get; set; } = 1024;
}
