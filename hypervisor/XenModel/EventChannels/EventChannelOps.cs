using XenMemoryProvider.Abi;
using XenModel.Domains;
using State = XenMemoryProvider.Abi.EventChannelOp.ChannelState;

namespace XenModel.EventChannels;

/// <summary>event_channel_op: arguments out of the caller's memory, checks in Xen's order, results back into it.</summary>
internal static class EventChannelOps
{
    private const EventChannelOp.Command ResetContinuation = (EventChannelOp.Command)14;

    public static int Call(HypercallContext context, uint command, ulong argument, CallerMemory memory)
    {
        Domain caller = context.Caller;
        switch ((EventChannelOp.Command)command)
        {
            case EventChannelOp.Command.AllocUnbound:
                if (!memory.TryRead(argument, out EventChannelOp.AllocUnbound unbound)) return -(int)XenErrno.EFAULT;
                return Answer(AllocUnbound(context, ref unbound), memory, argument, unbound);
            case EventChannelOp.Command.BindInterdomain:
                if (!memory.TryRead(argument, out EventChannelOp.BindInterdomain interdomain)) return -(int)XenErrno.EFAULT;
                return Answer(BindInterdomain(context, ref interdomain), memory, argument, interdomain);
            case EventChannelOp.Command.BindVirq:
                if (!memory.TryRead(argument, out EventChannelOp.BindVirq virq)) return -(int)XenErrno.EFAULT;
                return Answer(BindVirq(caller, ref virq), memory, argument, virq);
            case EventChannelOp.Command.BindPirq:
                if (!memory.TryRead(argument, out EventChannelOp.BindPirq pirq)) return -(int)XenErrno.EFAULT;
                return Answer(BindPirq(caller, ref pirq), memory, argument, pirq);
            case EventChannelOp.Command.BindIpi:
                if (!memory.TryRead(argument, out EventChannelOp.BindIpi ipi)) return -(int)XenErrno.EFAULT;
                return Answer(BindIpi(caller, ref ipi), memory, argument, ipi);
            case EventChannelOp.Command.Close:
                return memory.TryRead(argument, out EventChannelOp.Close close) ? Close(caller, close.Port) : -(int)XenErrno.EFAULT;
            case EventChannelOp.Command.Send:
                return memory.TryRead(argument, out EventChannelOp.Send send) ? Send(caller, send.Port) : -(int)XenErrno.EFAULT;
            case EventChannelOp.Command.Status:
                if (!memory.TryRead(argument, out EventChannelOp.Status status)) return -(int)XenErrno.EFAULT;
                return Answer(Status(context, ref status), memory, argument, status);
            case EventChannelOp.Command.BindVcpu:
                return memory.TryRead(argument, out EventChannelOp.BindVcpu vcpu) ? BindVcpu(caller, vcpu) : -(int)XenErrno.EFAULT;
            case EventChannelOp.Command.Unmask:
                return memory.TryRead(argument, out EventChannelOp.Unmask unmask) ? Unmask(caller, unmask.Port) : -(int)XenErrno.EFAULT;
            case EventChannelOp.Command.Reset:
                return memory.TryRead(argument, out EventChannelOp.Reset reset) ? Reset(context, reset.Dom) : -(int)XenErrno.EFAULT;
            case ResetContinuation:
                // Xen's own: nobody's reset is under way when a domain says it.
                if (!memory.TryRead(argument, out EventChannelOp.Reset again)) return -(int)XenErrno.EFAULT;
                return CheckReset(context, again.Dom, out _) is var refused && refused != 0 ? refused : -(int)XenErrno.EBUSY;
            case EventChannelOp.Command.InitControl:
                if (!memory.TryRead(argument, out EventChannelOp.InitControl control)) return -(int)XenErrno.EFAULT;
                return Answer(InitControl(caller, ref control), memory, argument, control);
            case EventChannelOp.Command.ExpandArray:
                return memory.TryRead(argument, out EventChannelOp.ExpandArray expand) ? ExpandArray(caller, expand.ArrayGfn) : -(int)XenErrno.EFAULT;
            case EventChannelOp.Command.SetPriority:
                return memory.TryRead(argument, out EventChannelOp.SetPriority priority) ? SetPriority(caller, priority) : -(int)XenErrno.EFAULT;
            default:
                return -(int)XenErrno.ENOSYS;
        }
    }

    public static int AllocUnbound(HypercallContext context, ref EventChannelOp.AllocUnbound argument)
    {
        if (context.FindAny(argument.Dom) is not { } domain) return -(int)XenErrno.ESRCH;
        if (!context.MayTarget(domain)) return -(int)XenErrno.EPERM;
        if (domain.IsDying) return -(int)XenErrno.EINVAL;
        if (domain.Events.TryOpen(State.Unbound, 0) is not { } channel) return -(int)XenErrno.ENOSPC;
        channel.UnboundDomid = argument.RemoteDom == Domid.Self ? context.Caller.Id : argument.RemoteDom;
        argument.Port = channel.Port;
        return 0;
    }

    public static int BindInterdomain(HypercallContext context, ref EventChannelOp.BindInterdomain argument)
    {
        Domain local = context.Caller;
        if (context.Find(argument.RemoteDom == Domid.Self ? local.Id : argument.RemoteDom) is not { } remote) return -(int)XenErrno.ESRCH;
        if (local.IsDying) return -(int)XenErrno.EINVAL;
        if (local.Events.TryOpen(State.Unbound, 0) is not { } channel) return -(int)XenErrno.ENOSPC;

        // Opened first, as Xen does, so that binding to one's own number cannot succeed by accident.
        channel.UnboundDomid = Domid.Invalid;
        if (remote.Events.Find(argument.RemotePort) is not { State: State.Unbound } other || other.UnboundDomid != local.Id)
        {
            channel.Free();
            return -(int)XenErrno.EINVAL;
        }

        channel.State = State.Interdomain;
        channel.Remote = remote;
        channel.RemotePort = other.Port;
        other.State = State.Interdomain;
        other.Remote = local;
        other.RemotePort = channel.Port;
        argument.LocalPort = channel.Port;

        // The other end may have signalled before anybody listened.
        local.Events.Deliver(channel);
        return 0;
    }

    public static int BindVirq(Domain caller, ref EventChannelOp.BindVirq argument)
    {
        if ((uint)argument.Virq >= (uint)Virq.Count) return -(int)XenErrno.EINVAL;
        if (EventChannelTable.IsGlobal(argument.Virq) && argument.Vcpu != 0) return -(int)XenErrno.EINVAL;
        if (caller.FindVcpu(argument.Vcpu) is not { } vcpu) return -(int)XenErrno.ENOENT;
        bool global = EventChannelTable.IsGlobal(argument.Virq);
        if (global ? caller.Events.FindVirq(argument.Virq) is not null : vcpu.Virqs.ContainsKey(argument.Virq)) return -(int)XenErrno.EEXIST;
        if (caller.Events.TryOpen(State.Virq, argument.Vcpu) is not { } channel) return -(int)XenErrno.ENOSPC;
        channel.Virq = argument.Virq;
        if (global) caller.Events.BindVirq(argument.Virq, channel);
        else vcpu.Virqs[argument.Virq] = channel;
        argument.Port = channel.Port;
        return 0;
    }

    public static int Close(Domain caller, uint port)
    {
        if (caller.Events.Find(port) is not { XenConsumer: null } channel) return -(int)XenErrno.EINVAL;
        caller.Events.Close(channel);
        return 0;
    }

    public static int Send(Domain caller, uint port)
    {
        if (caller.Events.Find(port) is not { XenConsumer: null } channel) return -(int)XenErrno.EINVAL;
        switch (channel.State)
        {
            case State.Interdomain:
                caller.Events.Notify(channel);
                return 0;
            case State.Ipi:
                caller.Events.Deliver(channel);
                return 0;
            case State.Unbound:
                return 0;
            default:
                return -(int)XenErrno.EINVAL;
        }
    }

    private static int BindPirq(Domain caller, ref EventChannelOp.BindPirq argument)
    {
        uint pirq = argument.Pirq;
        if (pirq >= Domain.PirqCount) return -(int)XenErrno.EINVAL;
        if (!caller.IsTranslated && !caller.IsHardwareDomain) return -(int)XenErrno.EPERM;
        if (caller.Events.Open.Any(channel => channel.State == State.Pirq && channel.Pirq == pirq)) return -(int)XenErrno.EEXIST;
        if (caller.Events.TryOpen(State.Pirq, 0) is not { } opened) return -(int)XenErrno.ENOSPC;
        opened.Pirq = pirq;
        argument.Port = opened.Port;
        return 0;
    }

    private static int BindIpi(Domain caller, ref EventChannelOp.BindIpi argument)
    {
        if (caller.FindVcpu(argument.Vcpu) is null) return -(int)XenErrno.ENOENT;
        if (caller.Events.TryOpen(State.Ipi, argument.Vcpu) is not { } channel) return -(int)XenErrno.ENOSPC;
        argument.Port = channel.Port;
        return 0;
    }

    private static int Status(HypercallContext context, ref EventChannelOp.Status argument)
    {
        if (context.FindAny(argument.Dom) is not { } domain) return -(int)XenErrno.ESRCH;
        if (!domain.Events.IsValid(argument.Port)) return -(int)XenErrno.EINVAL;
        if (!context.MayTarget(domain)) return -(int)XenErrno.EPERM;
        EventChannel? channel = domain.Events.Find(argument.Port);
        if (channel?.XenConsumer is not null) return -(int)XenErrno.EACCES;
        argument.State = channel?.State ?? State.Closed;
        argument.Vcpu = channel?.Vcpu ?? 0;
        switch (argument.State)
        {
            case State.Unbound:
                argument.UnboundDom = channel!.UnboundDomid;
                break;
            case State.Interdomain:
                argument.InterdomainDom = channel!.Remote!.Id;
                argument.InterdomainPort = channel.RemotePort;
                break;
            case State.Pirq:
                argument.Pirq = channel!.Pirq;
                break;
            case State.Virq:
                argument.Virq = channel!.Virq;
                break;
        }

        return 0;
    }

    private static int BindVcpu(Domain caller, EventChannelOp.BindVcpu argument)
    {
        if (caller.FindVcpu(argument.Vcpu) is null) return -(int)XenErrno.ENOENT;
        if (caller.Events.Find(argument.Port) is not { XenConsumer: null } channel) return -(int)XenErrno.EINVAL;
        bool movable = channel.State is State.Unbound or State.Interdomain or State.Pirq
            || (channel.State == State.Virq && EventChannelTable.IsGlobal(channel.Virq));
        if (!movable) return -(int)XenErrno.EINVAL;
        channel.Vcpu = argument.Vcpu;
        return 0;
    }

    private static int Unmask(Domain caller, uint port)
    {
        if (caller.Events.Find(port) is not { } channel) return -(int)XenErrno.EINVAL;
        if (channel is { Sink: null, XenConsumer: null }) caller.Events.Abi.Unmask(channel);
        return 0;
    }

    private static int Reset(HypercallContext context, ushort domid)
    {
        int result = CheckReset(context, domid, out Domain? domain);
        if (result == 0) domain!.Events.Reset();
        return result;
    }

    private static int CheckReset(HypercallContext context, ushort domid, out Domain? domain)
    {
        domain = context.FindAny(domid);
        if (domain is null) return -(int)XenErrno.ESRCH;
        if (!context.MayTarget(domain)) return -(int)XenErrno.EPERM;
        return domain != context.Caller && !domain.IsPaused ? -(int)XenErrno.EINVAL : 0;
    }

    private static int InitControl(Domain caller, ref EventChannelOp.InitControl argument)
    {
        argument.LinkBits = EventFifo.LinkBits;
        if (caller.FindVcpu(argument.Vcpu) is null) return -(int)XenErrno.ENOENT;
        if (argument.Offset > Memory.FramePool.PageSize - 72 || (argument.Offset & 7) != 0) return -(int)XenErrno.EINVAL;
        return caller.Events.SwitchToFifo().InitControl(argument.Vcpu, argument.ControlGfn, argument.Offset);
    }

    private static int ExpandArray(Domain caller, ulong gfn) =>
        caller.Events.Abi is FifoEvents fifo ? fifo.ExpandArray(gfn, caller.Events.Open) : -(int)XenErrno.EOPNOTSUPP;

    private static int SetPriority(Domain caller, EventChannelOp.SetPriority argument) =>
        caller.Events.Find(argument.Port) is { } channel ? caller.Events.Abi.SetPriority(channel, argument.Priority) : -(int)XenErrno.EINVAL;

    // Results are copied out only on success; a caller whose memory went away meanwhile learns that.
    private static int Answer<T>(int result, CallerMemory memory, ulong argument, in T value)
        where T : unmanaged => result == 0 && !memory.TryWrite(argument, value) ? -(int)XenErrno.EFAULT : result;
}
