using XenModel.Guests.Virtio;

namespace XenModel.Guests.Disks;

/// <summary>A virtio-blk driver (virtio 1.3, 5.2): brings the device up, again after a reset, and runs its lanes.</summary>
internal sealed class BlockDriver(VirtioTransport transport, DmaMemory memory, DiskGuestOptions options)
{
    public const uint BlockDeviceId = 2;
    private const int MaxQueueSize = 128;
    private const int CapacityOffset = 0, NumQueuesOffset = 34;
    private const int BlockSectors = DiskPattern.BlockSize / 512;

    private static readonly TimeSpan ResetDeadline = TimeSpan.FromSeconds(20);

    public ulong Features { get; private set; }

    /// <summary>Blocks of <see cref="DiskPattern.BlockSize"/>.</summary>
    public long Blocks { get; private set; }

    /// <summary>Everything up to DRIVER_OK, but for the queues: after it the size of the disk is known.</summary>
    /// <exception cref="GuestCheckException">The device is not what was hoped for.</exception>
    public void Negotiate()
    {
        if (transport.DeviceId != BlockDeviceId) throw new GuestCheckException($"{transport.Name}: device {transport.DeviceId} is no disk");
        transport.Reset(ResetDeadline);
        transport.Status = VirtioTransport.Acknowledge;
        transport.Status = VirtioTransport.Acknowledge | VirtioTransport.Driver;
        ulong offered = transport.ReadFeatures();
        ulong needed = VirtioFeature.Version1 | VirtioFeature.BlkFlush | VirtioFeature.BlkDiscard | VirtioFeature.BlkWriteZeroes
            | (options.Queues > 1 ? VirtioFeature.BlkMq : 0) | (memory.IsGranted ? VirtioFeature.AccessPlatform : 0);
        if ((offered & needed) != needed) throw new GuestCheckException($"{transport.Name}: features 0x{offered:x} lack 0x{needed & ~offered:x}");
        Features = offered & (needed | VirtioFeature.IndirectDesc | VirtioFeature.EventIdx);
        transport.WriteFeatures(Features);
        transport.Status = VirtioTransport.Acknowledge | VirtioTransport.Driver | VirtioTransport.FeaturesOk;
        if ((transport.Status & VirtioTransport.FeaturesOk) == 0) throw new GuestCheckException($"{transport.Name}: features 0x{Features:x} are refused");
        Blocks = (long)transport.ReadConfig(CapacityOffset, 8) / BlockSectors;
        int queues = options.Queues == 1 ? 1 : (int)transport.ReadConfig(NumQueuesOffset, 2);
        if (queues < options.Queues || transport.QueueCount < options.Queues) throw new GuestCheckException($"{transport.Name}: {queues} queues, not {options.Queues}");
    }

    /// <summary>The queues, and DRIVER_OK.</summary>
    public void Start(IReadOnlyList<BlockLane> lanes)
    {
        memory.Clear();
        transport.SetUpInterrupts(lanes.Count);
        foreach (BlockLane lane in lanes)
        {
            int size = Math.Min(transport.QueueSizeMax(lane.Index), MaxQueueSize);
            if (size < 8) throw new GuestCheckException($"{transport.Name}: queue {lane.Index} has {size} entries");
            lane.SetUp(memory, size, options.Depth, (Features & VirtioFeature.EventIdx) != 0, (Features & VirtioFeature.IndirectDesc) != 0);
            transport.SetUpQueue(lane.Index, lane.Index % transport.InterruptTargets, size, lane.Queue.Descriptors, lane.Queue.Driver, lane.Queue.Device);
        }

        transport.Status = VirtioTransport.Acknowledge | VirtioTransport.Driver | VirtioTransport.FeaturesOk | VirtioTransport.DriverOk;
    }

    /// <summary>The device lets go of everything.</summary>
    public void Stop() => transport.Reset(ResetDeadline);
}
