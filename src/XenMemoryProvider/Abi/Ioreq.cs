using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Abi;

/// <summary>
/// A request of a virtual CPU (hvm/ioreq.h). The one of virtual CPU n is slot n of the shared page; the CPU waits
/// until its state is <see cref="IoreqState.ResponseReady"/> and its port is notified.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
[CStruct("struct ioreq", "xen/hvm/ioreq.h")]
[CHeader("xen/hvm/ioreq.h")]
public struct Ioreq
{
    [CConstant("sizeof(struct ioreq)")] public const int Size = 32;
    /// <summary>Slots in one page.</summary>
    [NotInC("follows from the size")] public const int SlotsPerPage = 128;
    /// <summary>Offset of the byte that <see cref="StateOf"/> and <see cref="TryMove"/> work on.</summary>
    [NotInC("a bit-field: asserted by running C")] public const int StateOffset = 30;
    [CConstant("offsetof(struct ioreq, vp_eport)")] public const int VpEportOffset = 24;

    [NotInC("a bit-field: asserted by running C")] private const byte StateMask = 0x0f;
    [NotInC("a bit-field: asserted by running C")] private const byte DataIsPointerBit = 0x10;
    [NotInC("a bit-field: asserted by running C")] private const byte ReadBit = 0x20;
    [NotInC("a bit-field: asserted by running C")] private const byte DirectionFlagBit = 0x40;

    /// <summary>Port, guest-physical address, or for <see cref="IoreqType.PciConfig"/> SBDF shifted left by 32, or the register.</summary>
    [FieldOffset(0), CField("addr")] public ulong Addr;
    /// <summary>The value, or the guest-physical address of the values when <see cref="DataIsPointer"/>.</summary>
    [FieldOffset(8), CField("data")] public ulong Data;
    /// <summary>Repetitions (rep prefix).</summary>
    [FieldOffset(16), CField("count")] public uint Count;
    /// <summary>Bytes of one access: 1, 2, 4 or 8.</summary>
    [FieldOffset(20), CField("size")] public uint AccessSize;
    /// <summary>The remote port to bind for this virtual CPU; written when the server is enabled.</summary>
    [FieldOffset(24), CField("vp_eport")] public uint VpEport;
    [FieldOffset(28), CField("_pad0")] public ushort Pad0;
    /// <summary>State in bits 3:0, data_is_ptr bit 4, dir bit 5, df bit 6: use the properties.</summary>
    [FieldOffset(30), NotInC("a bit-field: asserted by running C")] public byte Bits;
    [FieldOffset(31), CField("type")] public IoreqType Type;

    /// <summary>Setting keeps the other bits of the byte.</summary>
    public IoreqState State
    {
        readonly get => (IoreqState)(Bits & StateMask);
        set => Bits = (byte)(Bits & ~StateMask | (byte)value & StateMask);
    }

    public bool DataIsPointer { readonly get => (Bits & DataIsPointerBit) != 0; set => SetBit(DataIsPointerBit, value); }

    /// <summary>The guest reads: the device model fills <see cref="Data"/> in.</summary>
    public bool IsRead { readonly get => (Bits & ReadBit) != 0; set => SetBit(ReadBit, value); }

    /// <summary>Repetitions go down in memory.</summary>
    public bool Descending { readonly get => (Bits & DirectionFlagBit) != 0; set => SetBit(DirectionFlagBit, value); }

    /// <summary>The state in a shared slot's byte. Acquires: what Xen wrote before it is seen after it.</summary>
    public static IoreqState StateOf(ref readonly byte bits) => (IoreqState)(Volatile.Read(in bits) & StateMask);

    /// <summary>
    /// Moves a shared slot from one state to the next and leaves the byte's other bits alone; false, and nothing changed,
    /// if it was in another state. A full barrier: the answer is written before the state says so.
    /// </summary>
    public static bool TryMove(ref byte bits, IoreqState from, IoreqState to)
    {
        byte seen = Volatile.Read(ref bits);
        while ((IoreqState)(seen & StateMask) == from)
        {
            byte was = Interlocked.CompareExchange(ref bits, (byte)(seen & ~StateMask | (byte)to), seen);
            if (was == seen) return true;
            seen = was;
        }
        return false;
    }

    private void SetBit(byte bit, bool value) => Bits = value ? (byte)(Bits | bit) : (byte)(Bits & ~bit);
}
