using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>FIFO event channels: control block and event words (event_channel.h).</summary>
[CHeader("xen/event_channel.h")]
public static class EventFifo
{
    /// <summary>The most urgent.</summary>
    [CConstant("EVTCHN_FIFO_PRIORITY_MAX")] public const uint PriorityMax = 0;
    [CConstant("EVTCHN_FIFO_PRIORITY_DEFAULT")] public const uint PriorityDefault = 7;
    /// <summary>The least urgent.</summary>
    [CConstant("EVTCHN_FIFO_PRIORITY_MIN")] public const uint PriorityMin = 15;
    [CConstant("EVTCHN_FIFO_MAX_QUEUES")] public const int MaxQueues = 16;
    /// <summary>Bit number in an event word.</summary>
    [CConstant("EVTCHN_FIFO_PENDING")] public const int PendingBit = 31;
    /// <summary>Bit number in an event word.</summary>
    [CConstant("EVTCHN_FIFO_MASKED")] public const int MaskedBit = 30;
    /// <summary>Bit number in an event word.</summary>
    [CConstant("EVTCHN_FIFO_LINKED")] public const int LinkedBit = 29;
    /// <summary>Bit number in an event word.</summary>
    [CConstant("EVTCHN_FIFO_BUSY")] public const int BusyBit = 28;
    /// <summary>Bits of the port that follows in the queue.</summary>
    [CConstant("EVTCHN_FIFO_LINK_BITS")] public const int LinkBits = 17;
    [CConstant("EVTCHN_FIFO_LINK_MASK")] public const uint LinkMask = (1u << 17) - 1;
    [CConstant("EVTCHN_FIFO_NR_CHANNELS")] public const int ChannelCount = 1 << 17;

    /// <summary>Event words in a page.</summary>
    [NotInC("follows from the entry size")] public const int WordsPerPage = 1024;

    /// <summary>One per virtual CPU, 8-byte aligned, within one page.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 72)]
    [CStruct("struct evtchn_fifo_control_block", "xen/event_channel.h")]
    public struct ControlBlock
    {
        /// <summary>A bit per priority with events.</summary>
        [FieldOffset(0), CField("ready")] public uint Ready;
        [FieldOffset(4), CField("_rsvd")] public uint Reserved;
        /// <summary>The first of <see cref="MaxQueues"/> queue heads.</summary>
        [FieldOffset(8), CField("head[0]")] public uint Head0;
    }
}
