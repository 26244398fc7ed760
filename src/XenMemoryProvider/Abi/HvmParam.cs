using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>Parameters of an HVM or PVH domain (hvm/params.h).</summary>
[CHeader("xen/hvm/params.h")]
public enum HvmParam : uint
{
    /// <summary>How events interrupt the guest; the type is in the top byte.</summary>
    [CConstant("HVM_PARAM_CALLBACK_IRQ")] CallbackIrq = 0,
    [CConstant("HVM_PARAM_STORE_PFN")] StorePfn = 1,
    [CConstant("HVM_PARAM_STORE_EVTCHN")] StoreEvtchn = 2,
    [CConstant("HVM_PARAM_PAE_ENABLED")] PaeEnabled = 4,
    /// <summary>Write-once.</summary>
    [CConstant("HVM_PARAM_IOREQ_PFN")] IoreqPfn = 5,
    /// <summary>Write-once.</summary>
    [CConstant("HVM_PARAM_BUFIOREQ_PFN")] BufioreqPfn = 6,
    [CConstant("HVM_PARAM_VIRIDIAN")] Viridian = 9,
    [CConstant("HVM_PARAM_TIMER_MODE")] TimerMode = 10,
    [CConstant("HVM_PARAM_HPET_ENABLED")] HpetEnabled = 11,
    [CConstant("HVM_PARAM_IDENT_PT")] IdentPt = 12,
    [CConstant("HVM_PARAM_DM_DOMAIN")] DmDomain = 13,
    [CConstant("HVM_PARAM_ACPI_S_STATE")] AcpiSState = 14,
    [CConstant("HVM_PARAM_VM86_TSS")] Vm86Tss = 15,
    [CConstant("HVM_PARAM_VPT_ALIGN")] VptAlign = 16,
    [CConstant("HVM_PARAM_CONSOLE_PFN")] ConsolePfn = 17,
    [CConstant("HVM_PARAM_CONSOLE_EVTCHN")] ConsoleEvtchn = 18,
    [CConstant("HVM_PARAM_ACPI_IOPORTS_LOCATION")] AcpiIoportsLocation = 19,
    [CConstant("HVM_PARAM_NESTEDHVM")] NestedHvm = 24,
    /// <summary>Dead: EINVAL.</summary>
    [CConstant("HVM_PARAM_BUFIOREQ_EVTCHN")] BufioreqEvtchn = 26,
    [CConstant("HVM_PARAM_PAGING_RING_PFN")] PagingRingPfn = 27,
    [CConstant("HVM_PARAM_MONITOR_RING_PFN")] MonitorRingPfn = 28,
    [CConstant("HVM_PARAM_SHARING_RING_PFN")] SharingRingPfn = 29,
    [CConstant("HVM_PARAM_TRIPLE_FAULT_REASON")] TripleFaultReason = 31,
    /// <summary>Write-once; absent for PVH.</summary>
    [CConstant("HVM_PARAM_IOREQ_SERVER_PFN")] IoreqServerPfn = 32,
    /// <summary>Write-once; absent for PVH.</summary>
    [CConstant("HVM_PARAM_NR_IOREQ_SERVER_PAGES")] NrIoreqServerPages = 33,
    [CConstant("HVM_PARAM_VM_GENERATION_ID_ADDR")] VmGenerationIdAddr = 34,
    /// <summary>An <see cref="Altp2mOp.Mode"/>; write-once.</summary>
    [CConstant("HVM_PARAM_ALTP2M")] Altp2m = 35,
    [CConstant("HVM_PARAM_X87_FIP_WIDTH")] X87FipWidth = 36,
    [CConstant("HVM_PARAM_VM86_TSS_SIZED")] Vm86TssSized = 37,
    [CConstant("HVM_PARAM_MCA_CAP")] McaCap = 38,
    /// <summary>How many there are.</summary>
    [CConstant("HVM_NR_PARAMS")] Count = 39,
}
