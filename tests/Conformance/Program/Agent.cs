using System.Runtime.CompilerServices;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace Conformance;

/// <summary>
/// A PVH guest that runs and does what it is told, one order at a time: hypercalls, and accesses that a device model answers.
/// Arguments are put into pages of its memory that this process maps.
/// </summary>
internal abstract unsafe class Agent : IDisposable
{
    /// <summary>Pages for arguments.</summary>
    public const ulong ScratchGfn = 0x200;

    /// <summary>How many.</summary>
    public const int ScratchPages = 16;

    /// <summary>Where its shared info page is.</summary>
    public const ulong SharedInfoGfn = 0x181;

    private readonly XenMapping _scratch;
    private int _used;

    protected Agent(IPrivcmd privcmd, ushort domid)
    {
        Domid = domid;
        ulong[] gfns = [.. Enumerable.Range(0, ScratchPages).Select(page => ScratchGfn + (ulong)page)];
        int[] errors = new int[ScratchPages];
        _scratch = privcmd.MapForeign(domid, gfns, 3, errors, TimeSpan.Zero);
        var shared = new MemoryOp.AddToPhysmap { Domid = domid, Space = MemoryOp.MapSpace.SharedInfo, Gpfn = SharedInfoGfn };
        XenException.Check(privcmd.MemoryOp(MemoryOp.Command.AddToPhysmap, ref shared), "add_to_physmap", domid);
    }

    public ushort Domid { get; }

    /// <summary>All of the scratch pages.</summary>
    protected Span<byte> Scratch => new(_scratch.Pointer, ScratchPages * XenPage.Size);

    /// <summary>Copies an argument into the guest.</summary>
    /// <returns>Its guest address.</returns>
    public ulong Put<T>(T value)
        where T : unmanaged
    {
        int start = (_used + 7) & ~7;
        _used = start + sizeof(T);
        Unsafe.WriteUnaligned(ref Scratch[start], value);
        return (ScratchGfn << XenPage.Shift) + (uint)start;
    }

    /// <summary>What is at a guest address given by <see cref="Put"/>.</summary>
    public T Get<T>(ulong address)
        where T : unmanaged => Unsafe.ReadUnaligned<T>(ref Scratch[(int)(address - (ScratchGfn << XenPage.Shift))]);

    /// <summary>Forgets what was put.</summary>
    public void Reset()
    {
        Scratch.Clear();
        _used = 0;
    }

    /// <summary>A hypercall of the guest.</summary>
    public int Hypercall(Hypercall op, ulong arg0, ulong arg1 = 0, ulong arg2 = 0)
    {
        Start(new AgentOrder(AgentWork.Hypercall, (ulong)op, arg0, arg1, arg2));
        AgentAnswer answer = Finish();
        return answer.IsStopped ? throw new InvalidOperationException("the agent is gone") : (int)answer.Value;
    }

    /// <summary>A hypercall with one argument by reference; it is read back.</summary>
    public int Hypercall<T>(Hypercall op, ulong command, ref T argument, ulong count = 0)
        where T : unmanaged
    {
        int used = _used;
        ulong address = Put(argument);
        int result = Hypercall(op, command, address, count);
        argument = Get<T>(address);
        _used = used;
        return result;
    }

    /// <summary>Begins; the guest may have to wait for a device model.</summary>
    public abstract void Start(AgentOrder order);

    /// <summary>From now on its event channels are the script's: it waits for orders without one.</summary>
    public virtual void StopSleeping()
    {
    }

    /// <summary>Does the guest exist and run still?</summary>
    public abstract bool IsAlive { get; }

    /// <summary>Is the order done, or the guest gone?</summary>
    public abstract bool IsDone { get; }

    /// <summary>Waits for the end of the order.</summary>
    /// <exception cref="TimeoutException">It does not end.</exception>
    public abstract AgentAnswer Finish();

    public virtual void Dispose() => _scratch.Dispose();
}
