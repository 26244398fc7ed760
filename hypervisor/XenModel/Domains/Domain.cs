using XenMemoryProvider.Abi;
using XenModel.Drivers;
using XenModel.EventChannels;
using XenModel.Grants;
using XenModel.Ioreq;
using XenModel.Memory;

namespace XenModel.Domains;

/// <summary>A domain: memory, virtual CPUs, ports, grants and ioreq servers. Made by <see cref="Hypervisor.CreateDomain"/>.</summary>
public sealed partial class Domain
{
    /// <summary>Interrupt numbers a domain may bind to ports.</summary>
    internal const uint PirqCount = 256;

    // Besides grant tables and their status words: the pages of 8 ioreq servers, shared info.
    private const int XenPagesBeyondGrants = 32;

    // Room for 64 GiB of machine frames per domain.
    private const int MfnShift = 24;

    private readonly Vcpu[] _vcpus;
    private int _pauseCount;

    internal Domain(Hypervisor hypervisor, ushort id, DomainOptions options, int ramPages)
    {
        Hypervisor = hypervisor;
        Id = id;
        Options = options;
        Frames = new FramePool($"xen-domain-{id}", ramPages, options.MaxGrantFrames * 2 + XenPagesBeyondGrants, (ulong)id << MfnShift, () => hypervisor.Forget(this));
        P2m = new P2m(Frames);
        Memory = new GuestMemory(this);
        if (!Frames.TryAllocate(ram: false, out uint sharedInfo)) throw new InvalidOperationException("a new pool without frames");
        SharedInfo = new FrameReference(Frames, sharedInfo);
        Events = new EventChannelTable(this, options.MaxEventChannelPort);
        Grants = new GrantTable(this);
        GrantAllocator = new GrantAllocator(this);
        IoreqServers = new IoreqServerTable(this);
        Interrupts = new InterruptLines(this);
        _vcpus = [.. Enumerable.Range(0, options.Vcpus).Select(vcpu => new Vcpu(this, (uint)vcpu))];
    }

    public Hypervisor Hypervisor { get; }

    public ushort Id { get; }

    public DomainOptions Options { get; }

    public string Name => Options.Name;

    public DomainType Type => Options.Type;

    public IReadOnlyList<Vcpu> Vcpus => _vcpus;

    /// <summary>Guest memory as the guest sees it.</summary>
    public GuestMemory Memory { get; }

    /// <summary>Interrupt lines and their routing.</summary>
    public InterruptLines Interrupts { get; }

    /// <summary>HVM or PVH: memory is translated, device models are possible.</summary>
    public bool IsTranslated => Type != DomainType.PV;

    /// <summary>It is being or has been destroyed; it stays until nobody uses its memory.</summary>
    public bool IsDying { get; private set; }

    /// <summary>Why it stopped, if it did.</summary>
    public ShutdownReason? Shutdown { get; private set; }

    /// <summary>What Xen logged when it crashed the domain.</summary>
    public string? CrashReason { get; private set; }

    public bool IsPaused => _pauseCount > 0;

    /// <summary>RAM pages it holds, also those that only a mapping keeps.</summary>
    public int RamPages
    {
        get
        {
            lock (Hypervisor.Gate) return Frames.RamInUse;
        }
    }

    internal ushort? Target => Options.Target;

    internal bool IsControlDomain => Id == 0;

    internal bool IsHardwareDomain => Id == 0;

    internal FramePool Frames { get; }

    internal P2m P2m { get; }

    internal FrameReference SharedInfo { get; }

    internal EventChannelTable Events { get; }

    internal GrantTable Grants { get; }

    internal GrantAllocator GrantAllocator { get; }

    internal IoreqServerTable IoreqServers { get; }

    internal HvmParams Params { get; } = new();

    internal CacheAttributes CacheAttributes { get; } = new();

    /// <summary>Where in the physmap each of Xen's pages is.</summary>
    internal Dictionary<uint, ulong> XenFrames { get; } = [];

    /// <summary>Takes one of Xen's pages out of the physmap, if it is there.</summary>
    internal void ForgetXenFrame(FrameReference frame)
    {
        if (XenFrames.Remove(frame.Frame, out ulong gfn) && P2m[gfn] is { HoldsFrame: true } entry && entry.Reference == frame) P2m.Remove(gfn);
    }

    internal Vcpu? FindVcpu(uint id) => id < (uint)_vcpus.Length ? _vcpus[id] : null;

    /// <summary>A frame of its own that Xen may write to: what get_page gives for writing.</summary>
    internal bool TryGetWritableFrame(ulong gfn, out FrameReference frame)
    {
        P2mEntry entry = P2m[gfn];
        frame = entry.IsPresent ? entry.Reference : default;
        return entry is { IsPresent: true, Type: P2mType.Ram or P2mType.IoreqServer };
    }

    /// <summary>Its p2m lost a page of RAM: device models must drop their mappings.</summary>
    /// <param name="by">The CPU whose hypercall did it, if it is one of the domain's.</param>
    internal void LostRam(Vcpu? by)
    {
        if (!IsTranslated || IsDying) return;
        if (by?.Domain == this)
        {
            by.InvalidatePending = true;
            return;
        }

        foreach (Vcpu vcpu in _vcpus) vcpu.InvalidatePending = true;
    }

    internal void ParamChanged(HvmParam index)
    {
        if (index is HvmParam.IoreqPfn or HvmParam.BufioreqPfn && Params[index] != 0) IoreqServers.LegacyFrameSet(index);
        if (index != HvmParam.CallbackIrq) return;
        ulong value = Params[index];
        const int vectorType = 2;
        foreach (Vcpu vcpu in _vcpus) vcpu.UpcallVector = value >> 56 == vectorType ? (byte)value : (byte)0;
    }
}
