using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>Why a domain stopped (sched.h).</summary>
[CHeader("xen/sched.h")]
public enum ShutdownReason : uint
{
    [CConstant("SHUTDOWN_poweroff")] Poweroff = 0,
    [CConstant("SHUTDOWN_reboot")] Reboot = 1,
    [CConstant("SHUTDOWN_suspend")] Suspend = 2,
    [CConstant("SHUTDOWN_crash")] Crash = 3,
    [CConstant("SHUTDOWN_watchdog")] Watchdog = 4,
    [CConstant("SHUTDOWN_soft_reset")] SoftReset = 5,
}
