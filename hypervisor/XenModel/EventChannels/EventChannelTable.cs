using XenMemoryProvider.Abi;
using XenModel.Domains;

namespace XenModel.EventChannels;

/// <summary>The ports of a domain, and what may be done with them by Xen and its drivers. Callers hold the hypervisor's gate.</summary>
internal sealed class EventChannelTable
{
    private const int BucketSize = 64;

    private readonly Domain _domain;
    private readonly List<EventChannel> _channels = [];
    private readonly Dictionary<Virq, EventChannel> _globalVirqs = [];

    public EventChannelTable(Domain domain, int maxPort)
    {
        _domain = domain;
        MaxPort = maxPort;
        Abi = new TwoLevelEvents(domain);
        _channels.Add(new EventChannel(0));
    }

    public int MaxPort { get; }

    public IEventAbi Abi { get; private set; }

    public IEnumerable<EventChannel> Open => _channels.Where(channel => !channel.IsFree);

    /// <summary>A port in use, or null.</summary>
    public EventChannel? Find(uint port) => port > 0 && port < (uint)_channels.Count && !_channels[(int)port].IsFree ? _channels[(int)port] : null;

    /// <summary>Is it a number that the table has, in use or not? Xen's table grows by 64.</summary>
    public bool IsValid(uint port) => port < (uint)(_channels.Count + BucketSize - 1) / BucketSize * BucketSize;

    /// <summary>The lowest free port; null: ENOSPC.</summary>
    public EventChannel? TryOpen(EventChannelOp.ChannelState state, uint vcpu)
    {
        EventChannel? channel = null;
        for (int i = 1; i < _channels.Count && channel is null; i++)
        {
            if (_channels[i].IsFree) channel = _channels[i];
        }

        if (channel is null)
        {
            if (_channels.Count > MaxPort || _channels.Count >= Abi.ChannelCount) return null;
            channel = new EventChannel((uint)_channels.Count);
            _channels.Add(channel);
        }

        channel.State = state;
        channel.Vcpu = vcpu;
        Abi.Opened(channel);
        return channel;
    }

    /// <summary>A port of this domain attached to Xen, for a domain to bind. Null: ENOSPC.</summary>
    public EventChannel? TryOpenXen(uint vcpu, ushort remote, Action notified)
    {
        EventChannel? channel = TryOpen(EventChannelOp.ChannelState.Unbound, vcpu);
        if (channel is null) return null;
        channel.UnboundDomid = remote;
        channel.XenConsumer = notified;
        return channel;
    }

    /// <summary>An event for whoever consumes the port.</summary>
    public void Deliver(EventChannel channel)
    {
        if (channel.XenConsumer is { } xen) xen();
        else if (channel.Sink is { } sink) sink.Raise(channel.Port);
        else Abi.SetPending(channel);
    }

    /// <summary>From Xen's end of a port to the domain that bound it.</summary>
    public void NotifyViaXen(EventChannel channel)
    {
        if (channel.State == EventChannelOp.ChannelState.Interdomain)
            Notify(channel);
    }

    /// <summary>To the other end.</summary>
    public void Notify(EventChannel channel)
    {
        Domain remote = channel.Remote!;
        if (remote.Events.Find(channel.RemotePort) is not { } other) return;
        if (_domain.Hypervisor.Faults.TryDelayEvent(remote.Id, other.Port)) return;
        remote.Events.Deliver(other);
    }

    /// <summary>Raises a virtual interrupt; nothing happens where nobody bound it.</summary>
    public void RaiseVirq(Virq virq)
    {
        if (_globalVirqs.TryGetValue(virq, out EventChannel? channel)) Deliver(channel);
    }

    public EventChannel? FindVirq(Virq virq) => _globalVirqs.GetValueOrDefault(virq);

    public void BindVirq(Virq virq, EventChannel channel) => _globalVirqs[virq] = channel;

    /// <summary>Raises a physical interrupt that was bound to a port.</summary>
    /// <returns>False: nobody bound it.</returns>
    public bool RaisePirq(uint pirq)
    {
        foreach (EventChannel channel in _channels)
        {
            if (channel.State != EventChannelOp.ChannelState.Pirq || channel.Pirq != pirq) continue;
            Deliver(channel);
            return true;
        }

        return false;
    }

    /// <summary>Closes a port. The other end becomes unbound and takes this domain again.</summary>
    public void Close(EventChannel channel)
    {
        switch (channel.State)
        {
            case EventChannelOp.ChannelState.Interdomain:
                EventChannel? other = channel.Remote!.Events.Find(channel.RemotePort);
                if (other is { State: EventChannelOp.ChannelState.Interdomain })
                {
                    other.State = EventChannelOp.ChannelState.Unbound;
                    other.UnboundDomid = _domain.Id;
                    other.Remote = null;
                }

                break;
            case EventChannelOp.ChannelState.Virq:
                if (IsGlobal(channel.Virq)) _globalVirqs.Remove(channel.Virq);
                else _domain.FindVcpu(channel.Vcpu)?.Virqs.Remove(channel.Virq);
                break;
        }

        if (channel.Sink is null && channel.XenConsumer is null) Abi.ClearPending(channel);
        channel.Free();
    }

    /// <summary>Closes every port that is not attached to Xen, and goes back to the two-level format.</summary>
    public void Reset()
    {
        foreach (EventChannel channel in _channels)
        {
            if (!channel.IsFree && channel.XenConsumer is null) Close(channel);
        }

        SwitchTo(new TwoLevelEvents(_domain));
    }

    public void CloseAll()
    {
        foreach (EventChannel channel in _channels)
        {
            if (!channel.IsFree) Close(channel);
        }

        SwitchTo(new TwoLevelEvents(_domain));
    }

    /// <summary>The FIFO format; ports that are open keep what was pending for when their page of words comes.</summary>
    public FifoEvents SwitchToFifo()
    {
        if (Abi is FifoEvents fifo) return fifo;
        fifo = new FifoEvents(_domain);
        foreach (EventChannel channel in Open)
        {
            channel.Pending |= IsPendingTwoLevel(channel.Port);
            fifo.Opened(channel);
        }

        SwitchTo(fifo);
        return fifo;
    }

    /// <summary>Virtual interrupts of the whole domain, which only virtual CPU 0 may bind.</summary>
    public static bool IsGlobal(Virq virq) => virq is not (Virq.Timer or Virq.Debug or Virq.Xenoprof or Virq.Xenpmu);

    private unsafe bool IsPendingTwoLevel(uint port) =>
        port < SharedInfo.ChannelCount && (((ulong*)(_domain.SharedInfo.Page + SharedInfo.PendingOffset))[port / 64] >> (int)(port % 64) & 1) != 0;

    private void SwitchTo(IEventAbi abi)
    {
        Abi.Dispose();
        Abi = abi;
    }
}
