namespace XenVhostMaster.Transports;

/// <summary>What a device model asks of what is behind it. Called on the I/O thread: returns at once and never throws.</summary>
internal interface IDeviceControl
{
    /// <summary>The driver put something into a running queue. The hot path.</summary>
    void Kick(int queue);

    /// <summary>The driver is ready: start all enabled queues.</summary>
    void Start();

    /// <summary>Stop everything; answer with <see cref="VirtioDeviceModel.ResetDone"/>.</summary>
    void Reset();

    /// <summary>One more queue was enabled.</summary>
    void StartQueue(int queue);

    /// <summary>Stop one queue; answer with <see cref="VirtioDeviceModel.QueueResetDone"/>.</summary>
    void ResetQueue(int queue);

    /// <summary>The driver wrote configuration space: <see cref="VirtioDeviceModel.TakeConfigWrites"/> has it.</summary>
    void ConfigWritten();
}
