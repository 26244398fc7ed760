using Backends.Block.Device;
using Fuzz.Engine;
using VhostUser.Devices;
using VhostUser.Memory;

namespace Fuzz.Oracles;

/// <summary>The block device of the product, with a check on either side of it, at work in this process.</summary>
internal sealed class Rig : IDisposable
{
    public const ulong DiskSize = 1 << 20;
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    public Rig(IGuestMemoryProvider provider, int queues = 2, int queueSize = 256)
    {
        Memory = new LiveMemory(provider);
        Store = new CheckedStore(DiskSize, Memory, Complaints);
        var block = new BlockDevice(Store, new BlockDeviceOptions { Queues = queues, QueueSize = queueSize }, Complaints);
        Device = new CheckedDevice(block, Memory, Complaints);
        Instance = Wait(DeviceInstance.StartAsync("fuzz", Device, 1, new WorkerOptions { UseIoUring = false }, Complaints));
    }

    public Complaints Complaints { get; } = new();

    public LiveMemory Memory { get; }

    public CheckedStore Store { get; }

    public CheckedDevice Device { get; }

    public DeviceInstance Instance { get; }

    public void Dispose() => Wait(Instance.DisposeAsync().AsTask());

    public static void Wait(Task task)
    {
        if (!task.Wait(Deadline))
            throw new FindingException("something waits for ever");
    }

    public static T Wait<T>(Task<T> task)
    {
        Wait((Task)task);
        return task.Result;
    }
}
