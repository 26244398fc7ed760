using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>Commands and arguments of hvm_op (hvm/hvm_op.h); altp2m is in <see cref="Altp2mOp"/>.</summary>
[CHeader("xen/hvm/hvm_op.h")]
public static class HvmOp
{
    /// <summary>What to do.</summary>
    [CHeader("xen/hvm/hvm_op.h")]
    public enum Command : uint
    {
        [CConstant("HVMOP_set_param")] SetParam = 0,
        [CConstant("HVMOP_get_param")] GetParam = 1,
        [CConstant("HVMOP_flush_tlbs")] FlushTlbs = 5,
        [CConstant("HVMOP_pagetable_dying")] PagetableDying = 9,
        [CConstant("HVMOP_get_time")] GetTime = 10,
        [CConstant("HVMOP_get_mem_type")] GetMemType = 15,
        [CConstant("HVMOP_set_evtchn_upcall_vector")] SetEvtchnUpcallVector = 23,
        [CConstant("HVMOP_guest_request_vm_event")] GuestRequestVmEvent = 24,
        [CConstant("HVMOP_altp2m")] Altp2m = 25,
    }

    /// <summary>Types of guest frames.</summary>
    [CHeader("xen/hvm/hvm_op.h")]
    public enum MemType : ushort
    {
        [CConstant("HVMMEM_ram_rw")] RamRw = 0,
        /// <summary>Writes go nowhere.</summary>
        [CConstant("HVMMEM_ram_ro")] RamRo = 1,
        /// <summary>Accesses go to ioreq servers.</summary>
        [CConstant("HVMMEM_mmio_dm")] MmioDm = 2,
        /// <summary>Writes go to the server that claimed the type.</summary>
        [CConstant("HVMMEM_ioreq_server")] IoreqServer = 4,
    }

    /// <summary>Reads or writes a parameter.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct xen_hvm_param", "xen/hvm/hvm_op.h")]
    public struct Param
    {
        [FieldOffset(0), CField("domid")] public ushort Domid;
        [FieldOffset(2), CField("pad")] public ushort Pad;
        [FieldOffset(4), CField("index")] public HvmParam Index;
        [FieldOffset(8), CField("value")] public ulong Value;
    }

    /// <summary>The type of a frame.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct xen_hvm_get_mem_type", "xen/hvm/hvm_op.h")]
    public struct GetMemType
    {
        [FieldOffset(0), CField("domid")] public ushort Domid;
        /// <summary>Out.</summary>
        [FieldOffset(2), CField("mem_type")] public MemType Type;
        [FieldOffset(4), CField("pad[0]")] public ushort Pad0;
        [FieldOffset(6), CField("pad[1]")] public ushort Pad1;
        [FieldOffset(8), CField("pfn")] public ulong Pfn;
    }

    /// <summary>The interrupt vector for events of one virtual CPU.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 8)]
    [CStruct("struct xen_hvm_evtchn_upcall_vector", "xen/hvm/hvm_op.h")]
    public struct EvtchnUpcallVector
    {
        [FieldOffset(0), CField("vcpu")] public uint Vcpu;
        [FieldOffset(4), CField("vector")] public byte Vector;
    }
}
