namespace XenVhostMaster.Transports;

/// <summary>What a device model tells its transport.</summary>
internal interface IVirtioTransport
{
    /// <summary>The device has used buffers of a queue.</summary>
    void QueueInterrupt(int queue);

    /// <summary>The configuration space or the status changed.</summary>
    void ConfigInterrupt();

    /// <summary>The device is as after power-on: forget causes and vectors.</summary>
    void DeviceReset();

    /// <summary>One queue is as after power-on.</summary>
    void QueueReset(int queue);
}
