using IoreqSlot = XenMemoryProvider.Abi.Ioreq;
using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.EventChannels;
using XenModel.Memory;

namespace XenModel.Ioreq;

/// <summary>
/// One device model's claim on a guest: its ranges, its pages and a port per virtual CPU. It belongs to the domain that
/// created it, not to a process. Callers hold the hypervisor's gate.
/// </summary>
internal sealed unsafe class IoreqServer
{
    private readonly Domain _target;
    private readonly RangeSet[] _ranges = [new(DmOp.MaxRanges), new(DmOp.MaxRanges), new(DmOp.MaxRanges)];
    private readonly Channel[] _channels;
    private readonly EventChannel? _bufferedChannel;
    private readonly List<ulong> _lost = [];
    private ServerPage? _page;
    private ServerPage? _bufferedPage;

    private IoreqServer(Domain target, Domain emulator, ushort id, DmOp.BufferedIoreq buffering, Channel[] channels, EventChannel? buffered)
    {
        _target = target;
        Emulator = emulator;
        Id = id;
        Buffering = buffering;
        _channels = channels;
        _bufferedChannel = buffered;
    }

    public Domain Emulator { get; }

    public ushort Id { get; }

    public DmOp.BufferedIoreq Buffering { get; }

    public bool HasBuffer => Buffering != DmOp.BufferedIoreq.Off;

    public bool Enabled { get; private set; }

    public uint BufferedPort => _bufferedChannel?.Port ?? 0;

    /// <summary>Opens a port per virtual CPU. Null: the guest has no ports left.</summary>
    public static IoreqServer? TryCreate(Domain target, Domain emulator, ushort id, DmOp.BufferedIoreq buffering)
    {
        var opened = new List<EventChannel>();
        var channels = new Channel[target.Vcpus.Count];
        EventChannel? buffered = null;
        bool complete = true;
        foreach (Vcpu vcpu in target.Vcpus)
        {
            EventChannel? channel = target.Events.TryOpenXen(vcpu.Id, emulator.Id, vcpu.UnblockInXen);
            complete &= channel is not null;
            if (channel is null) break;
            opened.Add(channel);
            channels[vcpu.Id] = new Channel(channel);
            if (vcpu.Id != 0 || buffering == DmOp.BufferedIoreq.Off) continue;
            buffered = target.Events.TryOpenXen(0, emulator.Id, static () => { });
            complete &= buffered is not null;
            if (buffered is null) break;
            opened.Add(buffered);
        }

        if (complete) return new IoreqServer(target, emulator, id, buffering, channels, buffered);
        foreach (EventChannel channel in opened) target.Events.Close(channel);
        return null;
    }

    public RangeSet? Ranges(DmOp.IoRangeType type) => (uint)type < (uint)_ranges.Length ? _ranges[(int)type] : null;

    public Channel ChannelOf(Vcpu vcpu) => _channels[vcpu.Id];

    /// <summary>The slot of a virtual CPU; null while nobody mapped the page.</summary>
    public IoreqSlot* Slot(Vcpu vcpu) => _page is { } page && vcpu.Id < IoreqSlot.SlotsPerPage
        ? (IoreqSlot*)page.Frame.Page + vcpu.Id
        : null;

    /// <summary>The page of requests that wait, or of those that do not.</summary>
    /// <returns>0; -ENOENT: no buffered ring; -EPERM: the pages are guest frames already; -EINVAL; -ENOMEM.</returns>
    public int GetFrame(ulong index, out FrameReference frame)
    {
        frame = default;
        int result = AllocatePages();
        if (result != 0) return result;
        if (index == MemoryOp.IoreqServerFrameBufioreq)
        {
            if (_bufferedPage is not { } buffered) return -(int)XenErrno.ENOENT;
            frame = buffered.Frame;
            return 0;
        }

        if (index != MemoryOp.IoreqServerFrameIoreq) return -(int)XenErrno.EINVAL;
        frame = _page!.Value.Frame;
        return 0;
    }

    /// <summary>Takes guest frames for the pages (the way of device models that cannot map resources).</summary>
    /// <returns>0; -EPERM: the pages are a resource already; -ENOMEM: no frames were set aside.</returns>
    public int MapGuestFrames(out ulong gfn, out ulong bufferedGfn)
    {
        gfn = bufferedGfn = ulong.MaxValue;
        if (_page is null)
        {
            int result = TakeGuestFrame(ref _page);
            if (result == 0 && HasBuffer) result = TakeGuestFrame(ref _bufferedPage);
            if (result != 0)
            {
                GiveBack(ref _page);
                return result;
            }
        }
        else if (_page.Value.Gfn is null)
        {
            return -(int)XenErrno.EPERM;
        }

        gfn = _page!.Value.Gfn!.Value;
        bufferedGfn = _bufferedPage?.Gfn ?? ulong.MaxValue;
        return 0;
    }

    public void SetEnabled(bool enabled)
    {
        if (Enabled == enabled) return;
        Enabled = enabled;
        Show(_page, !enabled);
        Show(_bufferedPage, !enabled);
        if (!enabled) return;
        foreach (Vcpu vcpu in _target.Vcpus)
        {
            IoreqSlot* slot = Slot(vcpu);
            if (slot is not null) slot->VpEport = ChannelOf(vcpu).Port.Port;
        }
    }

    public void Destroy()
    {
        SetEnabled(false);
        foreach (Channel channel in _channels)
        {
            channel.Pending = false;
            _target.Events.Close(channel.Port);
        }

        if (_bufferedChannel is not null) _target.Events.Close(_bufferedChannel);
        GiveBack(ref _page);
        GiveBack(ref _bufferedPage);
        foreach (ulong gfn in _lost) _target.IoreqServers.GiveBackGuestFrame(gfn);
    }

    /// <summary>Hands a request to the device model.</summary>
    /// <returns>Null when it did; else why the device model cannot be asked.</returns>
    public string? Send(Vcpu vcpu, IoreqSlot request)
    {
        Channel channel = ChannelOf(vcpu);
        IoreqSlot* slot = Slot(vcpu);
        if (slot is null) return "device model never mapped its ioreq page";
        IoreqState state = IoreqSlot.StateOf(ref slot->Bits);
        if (state != IoreqState.None) return $"device model set bad IO state {(int)state}";
        if (slot->VpEport != channel.Port.Port) return $"device model set bad event channel {slot->VpEport}";
        request.State = IoreqState.None;
        request.VpEport = channel.Port.Port;
        *slot = request;

        // A full barrier, paired with the device model's acquiring read of the state: first the request, then READY.
        Interlocked.MemoryBarrier();
        Volatile.Write(ref slot->Bits, (byte)(request.Bits | (byte)IoreqState.Ready));
        channel.Pending = true;
        channel.Seen = IoreqState.None;
        vcpu.BlockInXen();
        _target.Events.NotifyViaXen(channel.Port);
        return null;
    }

    /// <summary>Queues a request that nobody waits for. False: it does not fit the ring's form, or the ring is full.</summary>
    public bool TrySendBuffered(in IoreqSlot request)
    {
        if (_bufferedPage is not { } page || !BufferedRing.TryPut(page.Frame.Page, request, Buffering == DmOp.BufferedIoreq.Atomic)) return false;
        _target.Events.NotifyViaXen(_bufferedChannel!);
        return true;
    }

    private int AllocatePages()
    {
        int result = Allocate(ref _page);
        if (result == 0 && HasBuffer) result = Allocate(ref _bufferedPage);
        return result;
    }

    private int Allocate(ref ServerPage? page)
    {
        if (page is { Gfn: { } gfn } guests)
        {
            // Xen 4.17 tidies up as if the page had been its own: the guest loses it, and its place stays taken.
            _lost.Add(gfn);
            _target.P2m.Remove(gfn);
            guests.Frame.Release();
            page = null;
            return -(int)XenErrno.EPERM;
        }

        if (page is not null) return 0;
        if (!_target.Frames.TryAllocate(ram: false, out uint frame)) return -(int)XenErrno.ENOMEM;
        page = new ServerPage(new FrameReference(_target.Frames, frame), null);
        return 0;
    }

    private int TakeGuestFrame(ref ServerPage? page)
    {
        if (page is not null) return page.Value.Gfn is null ? -(int)XenErrno.EPERM : 0;
        if (_target.IoreqServers.TryTakeGuestFrame() is not { } gfn) return -(int)XenErrno.ENOMEM;
        P2mEntry entry = _target.P2m[gfn];
        if (!entry.IsPresent)
        {
            _target.IoreqServers.GiveBackGuestFrame(gfn);
            return -(int)XenErrno.EINVAL;
        }

        entry.Reference.AddReference();
        page = new ServerPage(entry.Reference, gfn);
        entry.Reference.Bytes.Clear();
        return 0;
    }

    private void GiveBack(ref ServerPage? page)
    {
        if (page is not { } taken) return;
        if (taken.Gfn is { } gfn) _target.IoreqServers.GiveBackGuestFrame(gfn);
        taken.Frame.Release();
        page = null;
    }

    // An enabled server's guest frames are not the guest's: it must not scribble on them.
    private void Show(ServerPage? page, bool inGuest)
    {
        if (page is not { Gfn: { } gfn } shown || _target.IsDying) return;
        if (inGuest)
        {
            shown.Frame.AddReference();
            _target.P2m.Set(gfn, P2mType.Ram, shown.Frame);
            shown.Frame.Bytes.Clear();
        }
        else
        {
            _target.P2m.Remove(gfn);
            shown.Frame.Bytes.Clear();
        }
    }

    private readonly record struct ServerPage(FrameReference Frame, ulong? Gfn);

    /// <summary>The port of one virtual CPU and what it waits for.</summary>
    public sealed class Channel(EventChannel port)
    {
        public EventChannel Port => port;

        /// <summary>A request is with the device model.</summary>
        public bool Pending { get; set; }

        /// <summary>The state last seen: it may not go back.</summary>
        public IoreqState Seen { get; set; }
    }
}
