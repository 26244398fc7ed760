using XenMemoryProvider.Abi;
using XenModel.Domains;

namespace XenModel.EventChannels;

/// <summary>
/// The two-level format: a bit per port in the shared info page, a selector bit per word of ports in each virtual CPU's info.
/// The order is the ABI: pending bit, then the selector unless masked, then the upcall.
/// </summary>
internal sealed unsafe class TwoLevelEvents(Domain domain) : IEventAbi
{
    public int ChannelCount => SharedInfo.ChannelCount;

    private byte* Page => domain.SharedInfo.Page;

    private ref ulong PendingWord(uint port) => ref ((ulong*)(Page + SharedInfo.PendingOffset))[port / 64];

    private ref ulong MaskWord(uint port) => ref ((ulong*)(Page + SharedInfo.MaskOffset))[port / 64];

    public void Opened(EventChannel channel)
    {
    }

    public void SetPending(EventChannel channel)
    {
        ulong bit = 1UL << (int)(channel.Port % 64);
        if ((Interlocked.Or(ref PendingWord(channel.Port), bit) & bit) != 0) return;
        if ((Volatile.Read(ref MaskWord(channel.Port)) & bit) == 0) Select(channel);
    }

    public void ClearPending(EventChannel channel) =>
        Interlocked.And(ref PendingWord(channel.Port), ~(1UL << (int)(channel.Port % 64)));

    public void Unmask(EventChannel channel)
    {
        ulong bit = 1UL << (int)(channel.Port % 64);
        if ((Interlocked.And(ref MaskWord(channel.Port), ~bit) & bit) == 0) return;
        if ((Volatile.Read(ref PendingWord(channel.Port)) & bit) != 0) Select(channel);
    }

    public int SetPriority(EventChannel channel, uint priority) => -(int)XenErrno.ENOSYS;

    public void Dispose()
    {
    }

    private void Select(EventChannel channel)
    {
        Vcpu? vcpu = domain.FindVcpu(channel.Vcpu);
        if (vcpu is null || channel.Vcpu >= SharedInfo.MaxVcpus) return;
        // SAFETY: 32 infos of 64 bytes lie at the start of the page and the index is below 32.
        var info = (SharedInfo.VcpuInfo*)(Page + channel.Vcpu * (uint)sizeof(SharedInfo.VcpuInfo));
        ulong selector = 1UL << (int)(channel.Port / 64);
        if ((Interlocked.Or(ref info->PendingSelector, selector) & selector) != 0) return;
        MarkPending(vcpu, info);
    }

    internal static void MarkPending(Vcpu vcpu, SharedInfo.VcpuInfo* info)
    {
        // A full barrier: the selector bit is visible before the flag that makes the guest look at it.
        if (Interlocked.Exchange(ref info->UpcallPending, 1) == 0) vcpu.RaiseUpcall();
    }
}
