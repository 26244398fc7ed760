using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;

namespace VhostUser.Tests.Queues;

/// <summary>Indirect tables written by hand, for where they lie.</summary>
internal static unsafe class RawTable
{
    public static void Write(TestMemory memory, GuestAddress at, in GuestRange buffer, int index, bool last, bool packed)
    {
        byte* entry = memory.At(at, 16);
        *(ulong*)entry = buffer.Address.Value;
        *(uint*)(entry + 8) = buffer.Length;
        ushort flags = (ushort)((buffer.Writable ? 2 : 0) | (last || packed ? 0 : 1));
        *(ushort*)(entry + 12) = packed ? (ushort)0xbad : flags;
        *(ushort*)(entry + 14) = packed ? flags : (ushort)(index + 1);
    }

    public static void Offer(DriverRing ring, GuestAddress table, uint bytes)
    {
        if (ring is PackedDriverRing packed)
        {
            packed.WriteNext(table, bytes, 4, 0x4711);
            return;
        }

        SplitDriverRing split = (SplitDriverRing)ring;
        split.WriteDescriptor(0, table, bytes, 4);
        split.Offer(0);
    }
}
