using System.Diagnostics.Metrics;

namespace Backends.Block.Device;

/// <summary>The meter "VhostXen.Block": what each disk did, read from its queues' own counters when somebody looks.</summary>
internal sealed class BlockMetrics : IDisposable
{
    public const string MeterName = "VhostXen.Block";

    private readonly Meter _meter = new(MeterName);
    private readonly IReadOnlyList<BlockDevice> _devices;

    public BlockMetrics(IReadOnlyList<BlockDevice> devices)
    {
        _devices = devices;
        Add("vhostxen.block.read", "By", "Bytes asked for by reads.", static counters => counters.BytesRead);
        Add("vhostxen.block.written", "By", "Bytes handed over by writes.", static counters => counters.BytesWritten);
        Add("vhostxen.block.flushes", "{request}", "Flush requests.", static counters => counters.Flushes);
        Add("vhostxen.block.discards", "{request}", "Discard and write-zeroes requests.", static counters => counters.Discards);
        Add("vhostxen.block.failed", "{request}", "Requests that ended with an error status.", static counters => counters.Failed);
    }

    public void Dispose() => _meter.Dispose();

    private void Add(string name, string unit, string description, Func<BlockCounters, long> read)
        => _meter.CreateObservableCounter(
            name,
            () => _devices.Select(device => new Measurement<long>(
                device.Counters.Sum(read), new KeyValuePair<string, object?>("device", device.Name))),
            unit,
            description);
}
