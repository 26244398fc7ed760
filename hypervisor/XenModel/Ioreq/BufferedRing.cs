using XenMemoryProvider.Abi;
using IoreqSlot = XenMemoryProvider.Abi.Ioreq;

namespace XenModel.Ioreq;

/// <summary>Xen's end of the ring of requests that nobody waits for. The consumer may write anything into the page.</summary>
internal static unsafe class BufferedRing
{
    /// <summary>False: the request does not fit the ring's form, or the ring is full.</summary>
    /// <param name="page">All 4096 bytes.</param>
    /// <param name="rebase">Keep the pointers small: the consumer advances its own atomically.</param>
    public static bool TryPut(byte* page, in IoreqSlot request, bool rebase)
    {
        if (request.Addr > BufferedIoreq.MaxAddress || request.DataIsPointer || request.Count != 1) return false;
        if (request.AccessSize is not (1 or 2 or 4 or 8)) return false;
        int shift = System.Numerics.BitOperations.TrailingZeroCount(request.AccessSize);
        uint slots = request.AccessSize == 8 ? 2u : 1u;
        ref uint writePointer = ref *(uint*)(page + BufferedIoreq.WritePointerOffset);
        uint write = Volatile.Read(ref writePointer);
        uint read = Volatile.Read(ref *(uint*)(page + BufferedIoreq.ReadPointerOffset));
        if (write - read >= BufferedIoreq.SlotCount - (slots - 1)) return false;

        var slot = new BufferedIoreq
        {
            Type = request.Type,
            IsRead = request.IsRead,
            SizeShift = shift,
            Address = (uint)request.Addr,
            Data = (uint)request.Data,
        };
        *SlotAt(page, write) = slot;
        if (slots == 2)
        {
            slot.Data = (uint)(request.Data >> 32);
            *SlotAt(page, write + 1) = slot;
        }

        // Releases: the slots are visible before the pointer that covers them.
        Volatile.Write(ref writePointer, write + slots);
        if (rebase) Rebase(page);
        return true;
    }

    // SAFETY: the slot of any pointer is below 511, and 511 slots of 8 bytes after 8 bytes of pointers fill the page.
    private static BufferedIoreq* SlotAt(byte* page, uint pointer) =>
        (BufferedIoreq*)(page + BufferedIoreq.FirstSlotOffset) + pointer % BufferedIoreq.SlotCount;

    private static void Rebase(byte* page)
    {
        ref ulong pointers = ref *(ulong*)page;
        for (int tries = 0; tries < BufferedIoreq.SlotCount; tries++)
        {
            ulong old = Volatile.Read(ref pointers);
            uint read = (uint)old, write = (uint)(old >> 32);
            if (read < BufferedIoreq.SlotCount) return;
            uint back = read / BufferedIoreq.SlotCount * BufferedIoreq.SlotCount;
            Interlocked.CompareExchange(ref pointers, (ulong)(write - back) << 32 | (read - back), old);
        }
    }
}
