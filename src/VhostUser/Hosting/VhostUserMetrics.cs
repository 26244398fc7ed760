using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using VhostUser.Devices;

namespace VhostUser.Hosting;

/// <summary>
/// The meter "VhostUser": counters per device and queue, read from the workers' own counters when somebody
/// looks (dotnet-counters, an OTLP exporter), so that the data path pays nothing.
/// </summary>
public sealed class VhostUserMetrics : IDisposable
{
    public const string MeterName = "VhostUser";

    private readonly Meter _meter = new(MeterName);
    private readonly ConcurrentQueue<DeviceInstance> _devices = new();

    public VhostUserMetrics()
    {
        Add("vhostuser.requests", "Requests completed.", static counters => counters.Requests);
        Add("vhostuser.calls", "Interrupts asked for.", static counters => counters.Calls);
        Add("vhostuser.wakeups", "Kicks that woke a worker.", static counters => counters.WakeUps);
        Add("vhostuser.faults", "Requests whose guest memory was not there.", static counters => counters.Faults);
        Add("vhostuser.broken", "Times that a driver broke its ring.", static counters => counters.Breaks);
    }

    public void Dispose() => _meter.Dispose();

    internal void Add(DeviceInstance device) => _devices.Enqueue(device);

    private void Add(string name, string description, Func<VringCounters, long> read)
        => _meter.CreateObservableCounter(name, () => Measure(read), description: description);

    private IEnumerable<Measurement<long>> Measure(Func<VringCounters, long> read)
        => from device in _devices
           from vring in device.Vrings
           select new Measurement<long>(
               read(vring.Counters),
               new KeyValuePair<string, object?>("device", device.Name),
               new KeyValuePair<string, object?>("queue", vring.Index));
}
