using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>Hypercall numbers: the <c>op</c> of <see cref="Privcmd.Hypercall"/> (xen.h).</summary>
[CHeader("xen/xen.h")]
public enum Hypercall : ulong
{
    [CConstant("__HYPERVISOR_mmu_update")] MmuUpdate = 1,
    [CConstant("__HYPERVISOR_memory_op")] MemoryOp = 12,
    [CConstant("__HYPERVISOR_multicall")] Multicall = 13,
    [CConstant("__HYPERVISOR_update_va_mapping")] UpdateVaMapping = 14,
    [CConstant("__HYPERVISOR_xen_version")] XenVersion = 17,
    [CConstant("__HYPERVISOR_console_io")] ConsoleIo = 18,
    [CConstant("__HYPERVISOR_grant_table_op")] GrantTableOp = 20,
    [CConstant("__HYPERVISOR_iret")] Iret = 23,
    [CConstant("__HYPERVISOR_vcpu_op")] VcpuOp = 24,
    [CConstant("__HYPERVISOR_mmuext_op")] MmuextOp = 26,
    [CConstant("__HYPERVISOR_xsm_op")] XsmOp = 27,
    [CConstant("__HYPERVISOR_sched_op")] SchedOp = 29,
    [CConstant("__HYPERVISOR_event_channel_op")] EventChannelOp = 32,
    [CConstant("__HYPERVISOR_physdev_op")] PhysdevOp = 33,
    [CConstant("__HYPERVISOR_hvm_op")] HvmOp = 34,
    /// <summary>Changes with every release: not used here.</summary>
    [CConstant("__HYPERVISOR_sysctl")] Sysctl = 35,
    /// <summary>Changes with every release: not used here.</summary>
    [CConstant("__HYPERVISOR_domctl")] Domctl = 36,
    [CConstant("__HYPERVISOR_argo_op")] ArgoOp = 39,
    [CConstant("__HYPERVISOR_xenpmu_op")] XenpmuOp = 40,
    [CConstant("__HYPERVISOR_dm_op")] DmOp = 41,
    [CConstant("__HYPERVISOR_hypfs_op")] HypfsOp = 42,
}
