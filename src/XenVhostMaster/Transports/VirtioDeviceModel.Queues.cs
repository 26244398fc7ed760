using System.Numerics;
using VhostUser.Protocol;

namespace XenVhostMaster.Transports;

/// <content>Queues: one is selected, and its registers are written until it is enabled.</content>
internal sealed partial class VirtioDeviceModel
{
    /// <summary>As many as the page of notification addresses holds.</summary>
    public const int MaxQueues = 1024;

    private readonly QueueState[] _queues;

    public int QueueCount => _queues.Length;

    public uint QueueSelect { get; set; }

    /// <summary>The selected queue; null when there is none of that number.</summary>
    public QueueState? Selected => QueueSelect < (uint)_queues.Length ? _queues[QueueSelect] : null;

    public QueueState Queue(int index) => _queues[index];

    /// <summary>Entries of the selected queue; what no ring can have is ignored.</summary>
    public void SetQueueSize(uint value)
    {
        bool packed = (DriverFeatures & VirtioFeatures.RingPacked) != 0;
        if (Writable() is { } queue && value != 0 && value <= queue.MaxSize && (packed || BitOperations.IsPow2(value)))
            queue.Size = (ushort)value;
    }

    public void SetDescriptors(uint value, bool high)
    {
        if (Writable() is { } queue)
            queue.Descriptors = Half(queue.Descriptors, value, high);
    }

    public void SetDriver(uint value, bool high)
    {
        if (Writable() is { } queue)
            queue.Driver = Half(queue.Driver, value, high);
    }

    public void SetDevice(uint value, bool high)
    {
        if (Writable() is { } queue)
            queue.Device = Half(queue.Device, value, high);
    }

    /// <summary>Gives the selected queue to the device.</summary>
    public void EnableQueue()
    {
        if (Writable() is not { } queue || (Status & VirtioStatus.FeaturesOk) == 0)
            return;

        queue.Enabled = true;
        if (IsRunning)
            _control.StartQueue(queue.Index);
    }

    /// <summary>Takes the selected queue back from the device (VIRTIO_F_RING_RESET, virtio 1.3, 2.6.1). It stays enabled until that is done.</summary>
    public void ResetQueue()
    {
        if (_resetting || Selected is not { Enabled: true, Resetting: false } queue || (DriverFeatures & VirtioFeatures.RingReset) == 0)
            return;

        queue.Resetting = true;
        if (IsRunning)
            _control.ResetQueue(queue.Index);
        else
            QueueResetDone(queue.Index);
    }

    /// <summary>The back-end has given a queue back (answer to <see cref="IDeviceControl.ResetQueue"/>).</summary>
    public void QueueResetDone(int index)
    {
        if ((uint)index >= (uint)_queues.Length || !_queues[index].Resetting || _resetting)
            return;

        _queues[index].Reset();
        _transport?.QueueReset(index);
    }

    /// <summary>The driver rings a queue's bell.</summary>
    /// <param name="queue">Any number: what is no running queue is ignored.</param>
    public void Notify(uint queue)
    {
        if (queue < (uint)_queues.Length && IsRunning && _queues[queue].Enabled)
            _control.Kick((int)queue);
    }

    private static ulong Half(ulong address, uint value, bool high)
        => high ? address & 0xffff_ffffUL | (ulong)value << 32 : address & ~0xffff_ffffUL | value;

    /// <summary>The selected queue if the driver may still change it.</summary>
    private QueueState? Writable() => !_resetting && Selected is { Enabled: false } queue ? queue : null;

    private void ResetQueues()
    {
        QueueSelect = 0;
        foreach (QueueState queue in _queues)
            queue.Reset();
    }
}
