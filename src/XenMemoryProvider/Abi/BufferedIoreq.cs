using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>
/// A slot of the ring of buffered requests (hvm/ioreq.h): writes that nobody waits for. Eight bytes of data take two slots,
/// the low half first.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
[CStruct("struct buf_ioreq", "xen/hvm/ioreq.h")]
[CHeader("xen/hvm/ioreq.h")]
public struct BufferedIoreq
{
    /// <summary>Slots of the ring; the slot of a pointer is the pointer modulo this.</summary>
    [CConstant("IOREQ_BUFFER_SLOT_NUM")] public const int SlotCount = 511;
    [CConstant("offsetof(struct buffered_iopage, read_pointer)")] public const int ReadPointerOffset = 0;
    [CConstant("offsetof(struct buffered_iopage, write_pointer)")] public const int WritePointerOffset = 4;
    [CConstant("offsetof(struct buffered_iopage, buf_ioreq)")] public const int FirstSlotOffset = 8;
    /// <summary>The highest address that fits a slot.</summary>
    [NotInC("a bit-field: asserted by running C")] public const uint MaxAddress = 0xfffff;

    /// <summary>Type in bits 7:0, dir bit 9, log2 of the size in bits 11:10, address in bits 31:12: use the properties.</summary>
    [FieldOffset(0), NotInC("a bit-field: asserted by running C")] public uint Bits;
    [FieldOffset(4), CField("data")] public uint Data;

    public IoreqType Type { readonly get => (IoreqType)(byte)Bits; set => Bits = Bits & ~0xffu | (byte)value; }

    public bool IsRead { readonly get => (Bits >> 9 & 1) != 0; set => Bits = value ? Bits | 1u << 9 : Bits & ~(1u << 9); }

    /// <summary>log2 of the bytes of the access.</summary>
    public int SizeShift { readonly get => (int)(Bits >> 10 & 3); set => Bits = Bits & ~(3u << 10) | ((uint)value & 3) << 10; }

    /// <summary>At most <see cref="MaxAddress"/>.</summary>
    public uint Address { readonly get => Bits >> 12; set => Bits = Bits & 0xfff | value << 12; }
}
