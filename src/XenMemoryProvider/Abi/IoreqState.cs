using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>Who has a request (hvm/ioreq.h, STATE_IOREQ_*). It only ever moves forward, from <see cref="None"/> round to None: Xen crashes the domain for a step back.</summary>
[CHeader("xen/hvm/ioreq.h")]
public enum IoreqState : byte
{
    /// <summary>Nothing asked.</summary>
    [CConstant("STATE_IOREQ_NONE")] None = 0,
    /// <summary>Xen asks.</summary>
    [CConstant("STATE_IOREQ_READY")] Ready = 1,
    /// <summary>The device model works on it.</summary>
    [CConstant("STATE_IOREQ_INPROCESS")] InProcess = 2,
    /// <summary>The device model answered.</summary>
    [CConstant("STATE_IORESP_READY")] ResponseReady = 3,
}
