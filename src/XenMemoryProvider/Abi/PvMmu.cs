using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>Page-table hypercalls of paravirtualized domains: mmu_update and mmuext_op (xen.h).</summary>
[CHeader("xen/xen.h")]
public static class PvMmu
{
    /// <summary>The bits of <see cref="Update.Ptr"/> that hold the command.</summary>
    [NotInC("not public")] public const ulong CommandMask = 7;

    /// <summary>The low bits of <see cref="Update.Ptr"/>.</summary>
    [CHeader("xen/xen.h")]
    public enum UpdateCommand : ulong
    {
        [CConstant("MMU_NORMAL_PT_UPDATE")] NormalPtUpdate = 0,
        [CConstant("MMU_MACHPHYS_UPDATE")] MachphysUpdate = 1,
        [CConstant("MMU_PT_UPDATE_PRESERVE_AD")] PtUpdatePreserveAd = 2,
        [CConstant("MMU_PT_UPDATE_NO_TRANSLATE")] PtUpdateNoTranslate = 3,
    }

    /// <summary>Commands of mmuext_op.</summary>
    [CHeader("xen/xen.h")]
    public enum ExtendedCommand : uint
    {
        [CConstant("MMUEXT_PIN_L1_TABLE")] PinL1Table = 0,
        [CConstant("MMUEXT_PIN_L2_TABLE")] PinL2Table = 1,
        [CConstant("MMUEXT_PIN_L3_TABLE")] PinL3Table = 2,
        [CConstant("MMUEXT_PIN_L4_TABLE")] PinL4Table = 3,
        [CConstant("MMUEXT_UNPIN_TABLE")] UnpinTable = 4,
        [CConstant("MMUEXT_NEW_BASEPTR")] NewBaseptr = 5,
        [CConstant("MMUEXT_TLB_FLUSH_LOCAL")] TlbFlushLocal = 6,
        [CConstant("MMUEXT_INVLPG_LOCAL")] InvlpgLocal = 7,
        [CConstant("MMUEXT_TLB_FLUSH_MULTI")] TlbFlushMulti = 8,
        [CConstant("MMUEXT_INVLPG_MULTI")] InvlpgMulti = 9,
        [CConstant("MMUEXT_TLB_FLUSH_ALL")] TlbFlushAll = 10,
        [CConstant("MMUEXT_INVLPG_ALL")] InvlpgAll = 11,
        [CConstant("MMUEXT_FLUSH_CACHE")] FlushCache = 12,
        [CConstant("MMUEXT_SET_LDT")] SetLdt = 13,
        [CConstant("MMUEXT_NEW_USER_BASEPTR")] NewUserBaseptr = 15,
        [CConstant("MMUEXT_CLEAR_PAGE")] ClearPage = 16,
        [CConstant("MMUEXT_COPY_PAGE")] CopyPage = 17,
        [CConstant("MMUEXT_FLUSH_CACHE_GLOBAL")] FlushCacheGlobal = 18,
        [CConstant("MMUEXT_MARK_SUPER")] MarkSuper = 19,
        [CConstant("MMUEXT_UNMARK_SUPER")] UnmarkSuper = 20,
    }

    /// <summary>One request of mmu_update.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 16)]
    [CStruct("struct mmu_update", "xen/xen.h")]
    public struct Update
    {
        /// <summary>Machine address of the entry, with a <see cref="UpdateCommand"/> in its low bits.</summary>
        [FieldOffset(0), CField("ptr")] public ulong Ptr;
        /// <summary>The new contents.</summary>
        [FieldOffset(8), CField("val")] public ulong Val;
    }

    /// <summary>One request of mmuext_op.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 24)]
    [CStruct("struct mmuext_op", "xen/xen.h")]
    public struct Extended
    {
        [FieldOffset(0), CField("cmd")] public ExtendedCommand Command;
        [FieldOffset(8), CField("arg1.mfn")] public ulong Mfn;
        [FieldOffset(8), CField("arg1.linear_addr")] public ulong LinearAddress;
        [FieldOffset(16), CField("arg2.nr_ents")] public uint NrEntries;
        [FieldOffset(16), CField("arg2.src_mfn")] public ulong SourceMfn;
    }

    /// <summary>The frame saved on every entry into Xen (arch-x86/xen-x86_64.h); the hardware's part begins at <see cref="Rip"/>.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 200)]
    [CStruct("struct cpu_user_regs", "xen/xen.h")]
    public struct UserRegisters
    {
        [FieldOffset(0), CField("r15")] public ulong R15;
        [FieldOffset(8), CField("r14")] public ulong R14;
        [FieldOffset(16), CField("r13")] public ulong R13;
        [FieldOffset(24), CField("r12")] public ulong R12;
        [FieldOffset(32), CField("rbp")] public ulong Rbp;
        [FieldOffset(40), CField("rbx")] public ulong Rbx;
        [FieldOffset(48), CField("r11")] public ulong R11;
        [FieldOffset(56), CField("r10")] public ulong R10;
        [FieldOffset(64), CField("r9")] public ulong R9;
        [FieldOffset(72), CField("r8")] public ulong R8;
        [FieldOffset(80), CField("rax")] public ulong Rax;
        [FieldOffset(88), CField("rcx")] public ulong Rcx;
        [FieldOffset(96), CField("rdx")] public ulong Rdx;
        [FieldOffset(104), CField("rsi")] public ulong Rsi;
        [FieldOffset(112), CField("rdi")] public ulong Rdi;
        [FieldOffset(120), CField("error_code")] public uint ErrorCode;
        [FieldOffset(124), CField("entry_vector")] public uint EntryVector;
        [FieldOffset(128), CField("rip")] public ulong Rip;
        [FieldOffset(136), CField("cs")] public ushort Cs;
        /// <summary>rflags.IF of a PV domain is the opposite of this.</summary>
        [FieldOffset(140), CField("saved_upcall_mask")] public byte SavedUpcallMask;
        [FieldOffset(144), CField("rflags")] public ulong Rflags;
        [FieldOffset(152), CField("rsp")] public ulong Rsp;
        [FieldOffset(160), CField("ss")] public ushort Ss;
        [FieldOffset(168), CField("es")] public ushort Es;
        [FieldOffset(176), CField("ds")] public ushort Ds;
        [FieldOffset(184), CField("fs")] public ushort Fs;
        [FieldOffset(192), CField("gs")] public ushort Gs;
    }
}
