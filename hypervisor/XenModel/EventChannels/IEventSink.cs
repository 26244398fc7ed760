namespace XenModel.EventChannels;

/// <summary>A driver that owns ports of its domain, as Linux's evtchn device does.</summary>
internal interface IEventSink
{
    /// <summary>An event on a port. Called under the hypervisor's gate: must not block.</summary>
    void Raise(uint port);
}
