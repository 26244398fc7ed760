using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Memory;

namespace XenModel.EventChannels;

/// <summary>
/// The FIFO format: an event word per port in pages that the guest adds one by one, and per virtual CPU a control block with
/// the heads of sixteen queues, one per priority. The guest changes words while Xen does, so each step is one atomic operation.
/// </summary>
internal sealed unsafe class FifoEvents(Domain domain) : IEventAbi
{
    private const uint PendingBit = 1u << EventFifo.PendingBit;
    private const uint MaskedBit = 1u << EventFifo.MaskedBit;
    private const uint LinkedBit = 1u << EventFifo.LinkedBit;
    private const uint BusyBit = 1u << EventFifo.BusyBit;
    private const int LinkTries = 4;

    private readonly List<FrameReference> _array = [];
    private readonly Dictionary<uint, ControlBlock> _blocks = [];

    public int ChannelCount => EventFifo.ChannelCount;

    /// <summary>Gives a virtual CPU its control block.</summary>
    /// <returns>0, or -EINVAL: it has one, or the frame is not RAM.</returns>
    public int InitControl(uint vcpu, ulong gfn, uint offset)
    {
        if (_blocks.ContainsKey(vcpu)) return -(int)XenErrno.EINVAL;
        if (!domain.TryGetWritableFrame(gfn, out FrameReference frame)) return -(int)XenErrno.EINVAL;
        frame.AddReference();
        _blocks.Add(vcpu, new ControlBlock(frame, offset));
        return 0;
    }

    /// <summary>Adds a page of event words and delivers what came for its ports before.</summary>
    /// <returns>0; -ENOSPC: all ports have words; -EINVAL: the frame is not RAM.</returns>
    public int ExpandArray(ulong gfn, IEnumerable<EventChannel> channels)
    {
        if (_array.Count >= EventFifo.ChannelCount / EventFifo.WordsPerPage) return -(int)XenErrno.ENOSPC;
        if (!domain.TryGetWritableFrame(gfn, out FrameReference frame)) return -(int)XenErrno.EINVAL;
        frame.AddReference();
        uint first = (uint)_array.Count * EventFifo.WordsPerPage;
        _array.Add(frame);
        foreach (EventChannel channel in channels)
        {
            if (channel.Port < first || channel.Port >= first + EventFifo.WordsPerPage || !channel.Pending) continue;
            channel.Pending = false;
            SetPending(channel);
        }

        return 0;
    }

    public void Opened(EventChannel channel) => channel.Priority = EventFifo.PriorityDefault;

    public void SetPending(EventChannel channel)
    {
        uint* word = Word(channel.Port);
        if (word is null)
        {
            channel.Pending = true;
            return;
        }

        Interlocked.Or(ref *word, PendingBit);
        if (!_blocks.TryGetValue(channel.Vcpu, out ControlBlock? block)) return;
        if ((Volatile.Read(ref *word) & MaskedBit) != 0 || (Interlocked.Or(ref *word, LinkedBit) & LinkedBit) != 0) return;

        // If it was the tail of the queue it was on last, that queue has run empty.
        if (_blocks.TryGetValue(channel.LastVcpu, out ControlBlock? last) && last.Tails[channel.LastPriority] == channel.Port)
            last.Tails[channel.LastPriority] = 0;
        channel.LastVcpu = channel.Vcpu;
        channel.LastPriority = channel.Priority;

        uint tail = block.Tails[channel.Priority];
        bool linked = tail != 0 && Word(tail) is var tailWord && tailWord is not null && TryLink(tailWord, channel.Port);
        if (!linked) Volatile.Write(ref *block.Head(channel.Priority), channel.Port);
        block.Tails[channel.Priority] = channel.Port;
        if (linked) return;
        uint ready = 1u << (int)channel.Priority;
        if ((Interlocked.Or(ref *block.Ready, ready) & ready) == 0) MarkPending(channel.Vcpu);
    }

    public void ClearPending(EventChannel channel)
    {
        uint* word = Word(channel.Port);
        if (word is not null) Interlocked.And(ref *word, ~PendingBit);
    }

    public void Unmask(EventChannel channel)
    {
        uint* word = Word(channel.Port);
        if (word is null) return;
        Interlocked.And(ref *word, ~MaskedBit);
        if ((Volatile.Read(ref *word) & PendingBit) != 0) SetPending(channel);
    }

    public int SetPriority(EventChannel channel, uint priority)
    {
        if (priority > EventFifo.PriorityMin) return -(int)XenErrno.EINVAL;
        channel.Priority = priority;
        return 0;
    }

    public void Dispose()
    {
        foreach (ControlBlock block in _blocks.Values) block.Frame.Release();
        foreach (FrameReference page in _array) page.Release();
        _blocks.Clear();
        _array.Clear();
    }

    // SAFETY: a port below the count of words lies in the page of its thousand; the page has a reference of ours.
    private uint* Word(uint port) => port / EventFifo.WordsPerPage < (uint)_array.Count
        ? (uint*)_array[(int)(port / EventFifo.WordsPerPage)].Page + port % EventFifo.WordsPerPage
        : null;

    // Sets the link of a tail while the guest has not consumed it. BUSY keeps the guest from unmasking meanwhile, so that
    // what it may still do (mask, clear pending, consume) makes the exchange fail a few times at most.
    private static bool TryLink(uint* word, uint port)
    {
        uint seen = Volatile.Read(ref *word);
        if ((seen & LinkedBit) == 0) return false;
        if (Interlocked.CompareExchange(ref *word, Linked(seen, port), seen) == seen) return true;
        Interlocked.Or(ref *word, BusyBit);
        for (int i = 0; i < LinkTries; i++)
        {
            seen = Volatile.Read(ref *word);
            if ((seen & LinkedBit) == 0)
            {
                Interlocked.And(ref *word, ~BusyBit);
                return false;
            }

            if (Interlocked.CompareExchange(ref *word, Linked(seen, port), seen) == seen) return true;
        }

        Interlocked.And(ref *word, ~BusyBit);
        return true;
    }

    private static uint Linked(uint word, uint port) => word & ~(BusyBit | EventFifo.LinkMask) | port;

    private void MarkPending(uint vcpuId)
    {
        Vcpu? vcpu = domain.FindVcpu(vcpuId);
        if (vcpu is null) return;
        if (vcpuId >= SharedInfo.MaxVcpus)
        {
            vcpu.RaiseUpcall();
            return;
        }

        // SAFETY: as in the two-level format.
        TwoLevelEvents.MarkPending(vcpu, (SharedInfo.VcpuInfo*)(domain.SharedInfo.Page + vcpuId * (uint)sizeof(SharedInfo.VcpuInfo)));
    }

    private sealed class ControlBlock(FrameReference frame, uint offset)
    {
        public FrameReference Frame => frame;

        /// <summary>Xen's own note of the last port of each queue.</summary>
        public uint[] Tails { get; } = new uint[EventFifo.MaxQueues];

        // SAFETY: offset + 72 is within the page: checked by init_control.
        public uint* Ready => (uint*)(frame.Page + offset);

        public uint* Head(uint priority) => (uint*)(frame.Page + offset + 8) + priority;
    }
}
