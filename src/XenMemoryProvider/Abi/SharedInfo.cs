using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>The shared_info page: two-level event channels and the clock (xen.h), for x86-64.</summary>
[CHeader("xen/xen.h")]
public static class SharedInfo
{
    /// <summary>Virtual CPUs with a <see cref="VcpuInfo"/> in the page.</summary>
    [CConstant("XEN_LEGACY_MAX_VCPUS")] public const int MaxVcpus = 32;
    /// <summary>Ports of the two-level format.</summary>
    [CConstant("EVTCHN_2L_NR_CHANNELS")] public const int ChannelCount = 4096;
    /// <summary>Bytes.</summary>
    [CConstant("sizeof(struct shared_info)")] public const int Size = 3136;
    /// <summary>Offset of ulong[64]: a bit per port.</summary>
    [CConstant("offsetof(struct shared_info,evtchn_pending)")] public const int PendingOffset = 2048;
    /// <summary>Offset of ulong[64]: a bit per port.</summary>
    [CConstant("offsetof(struct shared_info,evtchn_mask)")] public const int MaskOffset = 2560;
    [CConstant("offsetof(struct shared_info,wc_version)")] public const int WallClockVersionOffset = 3072;
    [CConstant("offsetof(struct shared_info,wc_sec)")] public const int WallClockSecondsOffset = 3076;
    [CConstant("offsetof(struct shared_info,wc_nsec)")] public const int WallClockNanosecondsOffset = 3080;
    [CConstant("offsetof(struct shared_info,wc_sec_hi)")] public const int WallClockSecondsHighOffset = 3084;
    [CConstant("offsetof(struct shared_info,arch)")] public const int ArchOffset = 3088;

    /// <summary>The clock of a virtual CPU.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 32)]
    [CStruct("struct vcpu_time_info", "xen/xen.h")]
    public struct TimeInfo
    {
        /// <summary>Odd while being written.</summary>
        [FieldOffset(0), CField("version")] public uint Version;
        [FieldOffset(4), CField("pad0")] public uint Pad;
        [FieldOffset(8), CField("tsc_timestamp")] public ulong TscTimestamp;
        /// <summary>Nanoseconds since boot at <see cref="TscTimestamp"/>.</summary>
        [FieldOffset(16), CField("system_time")] public ulong SystemTime;
        [FieldOffset(24), CField("tsc_to_system_mul")] public uint TscToSystemMul;
        [FieldOffset(28), CField("tsc_shift")] public sbyte TscShift;
        [FieldOffset(29), CField("flags")] public byte Flags;
    }

    /// <summary>What Xen shares with one virtual CPU: entry n of the page's start.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 64)]
    [CStruct("struct vcpu_info", "xen/xen.h")]
    public struct VcpuInfo
    {
        [FieldOffset(0), CField("evtchn_upcall_pending")] public byte UpcallPending;
        [FieldOffset(1), CField("evtchn_upcall_mask")] public byte UpcallMask;
        /// <summary>A bit per word of pending ports.</summary>
        [FieldOffset(8), CField("evtchn_pending_sel")] public ulong PendingSelector;
        [FieldOffset(16), CField("arch.cr2")] public ulong Cr2;
        [FieldOffset(32), CField("time")] public TimeInfo Time;
    }
}
