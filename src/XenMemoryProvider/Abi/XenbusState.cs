using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>States of a xenbus device, as decimal text in its <c>state</c> node (xenbus.h).</summary>
[CHeader("xen/io/xenbus.h")]
public enum XenbusState : uint
{
    [CConstant("XenbusStateUnknown")] Unknown = 0,
    [CConstant("XenbusStateInitialising")] Initialising = 1,
    [CConstant("XenbusStateInitWait")] InitWait = 2,
    [CConstant("XenbusStateInitialised")] Initialised = 3,
    [CConstant("XenbusStateConnected")] Connected = 4,
    [CConstant("XenbusStateClosing")] Closing = 5,
    [CConstant("XenbusStateClosed")] Closed = 6,
    [CConstant("XenbusStateReconfiguring")] Reconfiguring = 7,
    [CConstant("XenbusStateReconfigured")] Reconfigured = 8,
}
