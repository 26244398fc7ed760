using VhostUser.Protocol;

namespace XenVhostMaster.Transports;

/// <summary>
/// A virtio device as its driver sees it, whatever the transport: status, features, queues, configuration space
/// (virtio 1.3, chapters 2 and 3).
/// </summary>
internal sealed partial class VirtioDeviceModel
{
    private const VirtioStatus DriversBits =
        VirtioStatus.Acknowledge | VirtioStatus.Driver | VirtioStatus.FeaturesOk | VirtioStatus.DriverOk | VirtioStatus.Failed;

    private readonly IDeviceControl _control;
    private readonly bool _accessPlatform;
    private IVirtioTransport? _transport;
    private bool _resetting;

    // Start or Reset was asked of the control plane since the last reset was done: only then does a reset take time.
    private bool _touched;

    /// <param name="deviceId">The virtio device id: 1 net, 2 block...</param>
    /// <param name="queues">How many queues it has, at most 1024.</param>
    /// <param name="queueSize">Entries per queue at most, a power of two.</param>
    /// <param name="backendFeatures">As GET_FEATURES answered.</param>
    /// <param name="accessPlatform">Guest addresses are grants.</param>
    public VirtioDeviceModel(uint deviceId, int queues, ushort queueSize, ulong backendFeatures, bool accessPlatform, IDeviceControl control)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(queues, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(queues, MaxQueues);
        DeviceId = deviceId;
        _control = control;
        _accessPlatform = accessPlatform;
        OfferedFeatures = TransportFeatures.Offer(backendFeatures, accessPlatform);
        _queues = new QueueState[queues];
        for (int i = 0; i < queues; i++)
            _queues[i] = new QueueState(i, queueSize);
    }

    public uint DeviceId { get; }

    /// <summary>What the status register reads. Not 0 before a reset is complete.</summary>
    public VirtioStatus Status { get; private set; }

    /// <summary>The driver is ready and no reset is under way.</summary>
    public bool IsRunning => (Status & VirtioStatus.DriverOk) != 0 && !_resetting;

    public void Attach(IVirtioTransport transport) => _transport = transport;

    /// <summary>The driver writes the status register.</summary>
    public void WriteStatus(uint value)
    {
        if (_resetting)
            return;

        if ((byte)value == 0)
        {
            BeginReset();
            return;
        }

        // A driver only ever adds bits; taking some away without a reset means nothing.
        VirtioStatus added = (VirtioStatus)value & DriversBits & ~Status;
        if ((added & VirtioStatus.FeaturesOk) != 0 && !FeaturesAreSound())
            added &= ~VirtioStatus.FeaturesOk;

        if ((added & VirtioStatus.DriverOk) != 0 && ((Status | added) & VirtioStatus.FeaturesOk) == 0)
            added &= ~VirtioStatus.DriverOk;

        Status |= added;
        if ((added & VirtioStatus.DriverOk) != 0)
        {
            _touched = true;
            _control.Start();
        }
    }

    /// <summary>The back-end has stopped (answer to <see cref="IDeviceControl.Reset"/>).</summary>
    public void ResetDone()
    {
        if (_resetting)
            CompleteReset();
    }

    /// <summary>The device cannot go on: the driver is told to reset it (virtio 1.3, 2.1.2).</summary>
    public void Fail()
    {
        // What is late comes to a device that has been reset, whose status must stay 0: drivers wait for that, and for nothing else.
        if (_resetting || Status == VirtioStatus.None || (Status & VirtioStatus.NeedsReset) != 0)
            return;

        Status |= VirtioStatus.NeedsReset;
        if (IsRunning)
            _transport?.ConfigInterrupt();
    }

    /// <summary>The back-end has used buffers of a queue.</summary>
    public void QueueUsed(int queue)
    {
        if (IsRunning && (uint)queue < (uint)_queues.Length && _queues[queue].Enabled)
            _transport?.QueueInterrupt(queue);
    }

    private void BeginReset()
    {
        if (!_touched)
        {
            CompleteReset();
            return;
        }

        _resetting = true;
        _control.Reset();
    }

    private void CompleteReset()
    {
        _resetting = _touched = false;
        Status = VirtioStatus.None;
        ResetFeatures();
        ResetQueues();
        _transport?.DeviceReset();
    }

    private bool FeaturesAreSound()
    {
        ulong needed = VirtioFeatures.Version1 | (_accessPlatform ? VirtioFeatures.AccessPlatform : 0);
        return !_unknownFeatures && (DriverFeatures & ~OfferedFeatures) == 0 && (DriverFeatures & needed) == needed;
    }
}
