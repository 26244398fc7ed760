using System.Numerics;
using XenMemoryProvider.Abi;

namespace XenMemoryProvider.Ioreq;

/// <summary>
/// What a virtual CPU asks for, copied out of its slot once and checked: the guest's own page-sharing partner could be
/// writing into the slot all the time.
/// </summary>
/// <param name="Vcpu">Who asks.</param>
/// <param name="Type">What kind of access.</param>
/// <param name="Address">Port, guest-physical address, or SBDF shifted left by 32 or the register.</param>
/// <param name="Data">The value of a write; with <paramref name="DataIsPointer"/> the guest-physical address of the values.</param>
/// <param name="Size">Bytes of one access: 1, 2, 4 or 8.</param>
/// <param name="Count">Accesses, 1 to <see cref="MaxCount"/> (rep prefix).</param>
/// <param name="IsRead">The guest reads.</param>
/// <param name="DataIsPointer">The values are in guest memory, one after the other.</param>
/// <param name="Descending">Addresses go down from access to access (direction flag).</param>
public readonly record struct IoRequest(
    int Vcpu, IoreqType Type, ulong Address, ulong Data, int Size, int Count, bool IsRead, bool DataIsPointer, bool Descending)
{
    /// <summary>Xen cuts repetitions at this many.</summary>
    public const int MaxCount = 4096;

    /// <summary>The value of a write, without the bytes that are not written.</summary>
    public ulong Value => Size == 8 ? Data : Data & ((1UL << (Size * 8)) - 1);

    /// <summary>For <see cref="IoreqType.PciConfig"/>: segment, bus, device and function.</summary>
    public uint PciSbdf => (uint)(Address >> 32);

    /// <summary>For <see cref="IoreqType.PciConfig"/>: offset into the configuration space, with AMD's bits 11:8.</summary>
    public int PciRegister => (int)(Address & 0xfff);

    /// <summary>The address of one access. A port stays; memory steps.</summary>
    /// <param name="index">0 to Count - 1.</param>
    public ulong AddressAt(int index) => Type == IoreqType.Copy ? Step(Address, index) : Address;

    /// <summary>With <see cref="DataIsPointer"/>: where in guest memory the value of one access is.</summary>
    /// <param name="index">0 to Count - 1.</param>
    public ulong PointerAt(int index) => Step(Data, index);

    /// <summary>Checks a slot's copy.</summary>
    /// <returns>False for what Xen never sends: an unknown type, a size that is no power of two up to 8, no or too many repetitions.</returns>
    internal static bool TryDecode(int vcpu, in Abi.Ioreq slot, out IoRequest request)
    {
        request = new IoRequest(vcpu, slot.Type, slot.Addr, slot.Data, (int)slot.AccessSize, (int)slot.Count, slot.IsRead, slot.DataIsPointer, slot.Descending);
        bool known = slot.Type is IoreqType.Pio or IoreqType.Copy or IoreqType.PciConfig or IoreqType.TimeOffset or IoreqType.Invalidate;
        if (!known || slot.AccessSize is 0 or > 8 || !BitOperations.IsPow2(slot.AccessSize)) return false;

        // Broadcasts carry no count.
        if (slot.Type is IoreqType.TimeOffset or IoreqType.Invalidate)
        {
            request = request with { Count = 1 };
            return true;
        }
        return slot.Count is > 0 and <= MaxCount && (slot.Type != IoreqType.PciConfig || slot is { Count: 1, DataIsPointer: false });
    }

    private ulong Step(ulong from, int index)
    {
        ulong distance = (ulong)index * (ulong)Size;
        return Descending ? from - distance : from + distance;
    }
}
