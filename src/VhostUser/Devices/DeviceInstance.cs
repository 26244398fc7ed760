using Microsoft.Extensions.Logging;

namespace VhostUser.Devices;

/// <summary>A device at work: its worker threads and its queues. It outlives sessions; one session at a time drives it.</summary>
public sealed class DeviceInstance : IAsyncDisposable
{
    private readonly VirtqueueWorker[] _workers;

    private DeviceInstance(string name, VirtioDevice device, VirtqueueWorker[] workers, Vring[] vrings)
    {
        Name = name;
        Device = device;
        _workers = workers;
        Vrings = vrings;
    }

    /// <summary>What the operator calls it; in every log line and metric.</summary>
    public string Name { get; }

    public VirtioDevice Device { get; }

    /// <summary>All queues, by index.</summary>
    public IReadOnlyList<Vring> Vrings { get; }

    /// <summary>Starts the worker threads. Queue i belongs to worker i modulo their number.</summary>
    /// <param name="name">The operator's name for it.</param>
    /// <param name="device">The device; owned from here on.</param>
    /// <param name="workerCount">Threads, at least 1; more than there are queues are not started.</param>
    /// <param name="options">How they wait and do I/O.</param>
    /// <param name="logger">For all of them.</param>
    public static async Task<DeviceInstance> StartAsync(string name, VirtioDevice device, int workerCount, WorkerOptions options, ILogger logger)
    {
        int count = Math.Clamp(workerCount, 1, Math.Max(1, device.QueueCount));
        VirtqueueWorker[] workers = new VirtqueueWorker[count];
        for (int i = 0; i < count; i++)
            workers[i] = new VirtqueueWorker($"{name}/{i}", options, logger);

        Vring[] vrings = new Vring[device.QueueCount];
        for (int i = 0; i < vrings.Length; i++)
        {
            VirtqueueWorker worker = workers[i % count];
            vrings[i] = new Vring(name, device, i, worker, logger);
            await worker.AddAsync(vrings[i]).ConfigureAwait(false);
        }

        return new DeviceInstance(name, device, workers, vrings);
    }

    /// <summary>Stops every queue, with what is in flight given back.</summary>
    public Task StopVringsAsync() => Task.WhenAll(Vrings.Select(static vring => vring.StopAsync()));

    public async ValueTask DisposeAsync()
    {
        await StopVringsAsync().ConfigureAwait(false);
        foreach (Vring vring in Vrings)
            await vring.DisposeAsync().ConfigureAwait(false);

        foreach (VirtqueueWorker worker in _workers)
            worker.Dispose();

        Device.Dispose();
    }
}
