using VhostUser.Devices;

namespace RngDaemon;

/// <summary>What the device is: its id, its queues, its features. It has no configuration space.</summary>
internal sealed class RngDevice : VirtioDevice
{
    public override string Type => "rng";

    public override uint DeviceId => 4;

    public override int QueueCount => 1;

    public override ulong Features => 0;

    public override QueueHandler CreateHandler(VirtqueueWorker worker, int queueIndex) => new RngHandler();
}
