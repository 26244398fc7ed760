using VhostUser.Protocol;

namespace TestKit;

/// <content>What a split driver can lie about.</content>
public sealed unsafe partial class SplitDriverRing
{
    public override bool CanTell(RingLie lie) => lie != RingLie.MoreThanTheRing;

    public override void Tell(RingLie lie)
    {
        GuestAddress buffer = Memory.Allocate(64);
        GuestAddress table = Memory.Allocate(16 * 64);
        byte* entries = Memory.At(table, 16 * 64);
        switch (lie)
        {
            case RingLie.Loop:
                ushort second = (ushort)(Size > 1 ? 1 : 0);
                WriteDescriptor(0, buffer, 16, Next, second);
                WriteDescriptor(second, buffer, 16, Next, 0);
                break;
            case RingLie.ChainTooLong:
                int many = Math.Max(Size, 1024) + 1;
                table = Memory.Allocate(16 * many);
                entries = Memory.At(table, 16UL * (ulong)many);
                for (int i = 0; i < many; i++)
                    WriteDescriptor(entries + (16 * i), buffer, 16, i == many - 1 ? (ushort)0 : Next, (ushort)(i + 1));

                WriteDescriptor(0, table, (uint)(16 * many), Indirect);
                break;
            case RingLie.LinkOutsideTable:
                WriteDescriptor(0, buffer, 16, Next, (ushort)Size);
                break;
            case RingLie.HeadOutsideTable:
                Offer((ushort)Size);
                return;
            case RingLie.HeadInFlight:
                WriteDescriptor(0, buffer, 16, 0);
                Offer(0);
                break;
            case RingLie.IndexJump:
                _availIndex += (ushort)(Size + 1);
                Volatile.Write(ref AvailIndex, _availIndex);
                return;
            case RingLie.IndirectNotNegotiated:
                WriteDescriptor(entries, buffer, 16, 0, 0);
                WriteDescriptor(0, table, 16, Indirect);
                break;
            case RingLie.IndirectInIndirect:
                WriteDescriptor(entries, table, 16, Indirect, 0);
                WriteDescriptor(0, table, 16, Indirect);
                break;
            case RingLie.IndirectWithNext:
                WriteDescriptor(entries, buffer, 16, 0, 0);
                WriteDescriptor(0, table, 16, Indirect | Next, 0);
                break;
            case RingLie.IndirectEmpty:
                WriteDescriptor(0, table, 0, Indirect);
                break;
            case RingLie.IndirectOddLength:
                WriteDescriptor(entries, buffer, 16, 0, 0);
                WriteDescriptor(0, table, 17, Indirect);
                break;
            case RingLie.IndirectHuge:
                WriteDescriptor(entries, buffer, 16, 0, 0);
                WriteDescriptor(0, table, 0xffff_fff0, Indirect);
                break;
            case RingLie.IndirectLinkOutside:
                WriteDescriptor(entries, buffer, 16, Next, 1);
                WriteDescriptor(0, table, 16, Indirect);
                break;
            case RingLie.IndirectLoop:
                WriteDescriptor(entries, buffer, 16, Next, 40);
                WriteDescriptor(entries + (16 * 40), buffer, 16, Next, 0);
                WriteDescriptor(0, table, 16 * 64, Indirect);
                break;
            case RingLie.IndirectOutsideMemory:
                WriteDescriptor(0, TestMemory.Outside, 16, Indirect);
                break;
            case RingLie.IndirectLeavesMemory:
                MemoryRegion last = Memory.Regions[^1];
                GuestAddress end = new(last.GuestAddress.Value + last.Size - 16);
                WriteDescriptor(Memory.At(end, 16), buffer, 16, Next, 1);
                WriteDescriptor(0, end, 32, Indirect);
                break;
            case RingLie.IndirectWrapsAround:
                WriteDescriptor(0, new GuestAddress(ulong.MaxValue - 15), 64, Indirect);
                break;
            case RingLie.ReadableAfterWritable:
                WriteDescriptor(entries, buffer, 16, Write | Next, 1);
                WriteDescriptor(entries + 16, buffer, 16, 0, 0);
                if (Size > 1)
                {
                    WriteDescriptor(0, buffer, 16, Write | Next, 1);
                    WriteDescriptor(1, buffer, 16, 0, 0);
                    break;
                }

                WriteDescriptor(0, table, 32, Indirect);
                break;
            case RingLie.MoreThan4GiB:
                WriteDescriptor(entries, buffer, uint.MaxValue, Next, 1);
                WriteDescriptor(entries + 16, buffer, 2, 0, 0);
                WriteDescriptor(0, table, 32, Indirect);
                break;
            default:
                throw new NotSupportedException($"a split ring cannot tell {lie}");
        }

        Offer(0);
    }
}
