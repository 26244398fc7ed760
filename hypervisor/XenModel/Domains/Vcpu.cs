using XenMemoryProvider.Abi;
using XenModel.EventChannels;
using XenModel.Ioreq;

namespace XenModel.Domains;

/// <summary>
/// A virtual CPU. Guest code of the model runs on a thread of its own and calls this; where the real one would be blocked in
/// Xen (paused, waiting for a device model), the thread is.
/// </summary>
public sealed class Vcpu
{
    // Long enough for a device model on another core to answer without anybody sleeping.
    private const int SpinCount = 200;

    private readonly ManualResetEventSlim _wake = new(false, SpinCount);
    private readonly ManualResetEventSlim _upcall = new(false, SpinCount);
    private bool _blockedInXen;

    internal Vcpu(Domain domain, uint id)
    {
        Domain = domain;
        Id = id;
        Io = new VcpuIo(this);
        Apic = new LocalApic(this);
    }

    public Domain Domain { get; }

    public uint Id { get; }

    /// <summary>Ports, MMIO and PCI configuration.</summary>
    public VcpuIo Io { get; }

    /// <summary>Pending interrupts.</summary>
    public LocalApic Apic { get; }

    /// <summary>Vector that tells the guest of events; 0 for none.</summary>
    public byte UpcallVector { get; internal set; }

    internal Dictionary<Virq, EventChannel> Virqs { get; } = [];

    /// <summary>The event a device model injected and the guest has not taken.</summary>
    internal DmOp.InjectEvent? Injected { get; set; }

    /// <summary>Device models must be told to drop their mappings.</summary>
    internal bool InvalidatePending { get; set; }

    /// <summary>Called on the thread of this CPU by guest code: a hypercall.</summary>
    /// <returns>What Xen answers: 0 or more, or a negative errno.</returns>
    /// <exception cref="DomainStoppedException">The domain is gone.</exception>
    public int Hypercall(Hypercall op, ulong arg0, ulong arg1, ulong arg2, CallerMemory memory)
    {
        WaitRunnable();
        var call = new Privcmd.Hypercall { Op = (ulong)op, Arg0 = arg0, Arg1 = arg1, Arg2 = arg2 };
        int result = Domain.Hypervisor.Hypercall(new HypercallContext(Domain, this), call, memory);
        Io.FinishInvalidate();
        Domain.ThrowIfStopped();
        return result;
    }

    /// <summary>A hypercall with one argument, which is read and written in place.</summary>
    /// <exception cref="DomainStoppedException">The domain is gone.</exception>
    public unsafe int Hypercall<T>(Hypercall op, uint command, ref T argument)
        where T : unmanaged
    {
        fixed (T* pinned = &argument)
            return Hypercall(op, command, (ulong)pinned, 1, new CallerMemory(new Span<byte>(pinned, sizeof(T)), (ulong)pinned));
    }

    /// <summary>Waits until events may be pending for this CPU, or the deadline.</summary>
    /// <returns>False: nothing came.</returns>
    /// <exception cref="DomainStoppedException">The domain is gone.</exception>
    public bool WaitForUpcall(TimeSpan timeout)
    {
        bool raised = _upcall.Wait(timeout);
        _upcall.Reset();
        Domain.ThrowIfStopped();
        return raised;
    }

    /// <summary>Takes what a device model injected by inject_event; null when there is nothing.</summary>
    public DmOp.InjectEvent? TakeInjected()
    {
        lock (Domain.Hypervisor.Gate)
        {
            DmOp.InjectEvent? injected = Injected;
            Injected = null;
            return injected;
        }
    }

    internal void RaiseUpcall()
    {
        if (UpcallVector != 0) Apic.Accept(UpcallVector);
        _upcall.Set();
    }

    /// <summary>
    /// From here on the CPU sleeps until a device model's event, whatever happens else: Xen never wakes one whose server is
    /// destroyed under its request.
    /// </summary>
    internal void BlockInXen() => _blockedInXen = true;

    internal void UnblockInXen()
    {
        _blockedInXen = false;
        Wake();
    }

    /// <summary>Something this CPU may wait for in Xen has changed.</summary>
    internal void Wake() => _wake.Set();

    internal void WakeAll()
    {
        _wake.Set();
        _upcall.Set();
    }

    /// <summary>Stays here while the CPU is blocked in Xen.</summary>
    internal void WaitInXen() => WaitWhile(static vcpu => vcpu._blockedInXen);

    /// <summary>Stays here while the domain is paused.</summary>
    internal void WaitRunnable() => WaitWhile(static vcpu => vcpu.Domain.IsPaused);

    private void WaitWhile(Func<Vcpu, bool> condition)
    {
        while (true)
        {
            lock (Domain.Hypervisor.Gate)
            {
                Domain.ThrowIfStopped();
                _wake.Reset();
                if (!condition(this)) return;
            }

            _wake.Wait();
        }
    }
}
