namespace XenModel.EventChannels;

/// <summary>How events get into a guest's memory.</summary>
internal interface IEventAbi : IDisposable
{
    /// <summary>Ports of this format.</summary>
    int ChannelCount { get; }

    /// <summary>A channel was opened.</summary>
    void Opened(EventChannel channel);

    void SetPending(EventChannel channel);

    void ClearPending(EventChannel channel);

    void Unmask(EventChannel channel);

    /// <summary>0, -ENOSYS or -EINVAL.</summary>
    int SetPriority(EventChannel channel, uint priority);
}
