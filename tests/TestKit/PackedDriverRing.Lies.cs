using VhostUser.Protocol;

namespace TestKit;

/// <content>What a packed driver can lie about.</content>
public sealed unsafe partial class PackedDriverRing
{
    public override bool CanTell(RingLie lie) => lie is not (
        RingLie.LinkOutsideTable or RingLie.HeadOutsideTable or RingLie.HeadInFlight or RingLie.IndexJump
        or RingLie.IndirectInIndirect or RingLie.IndirectLinkOutside or RingLie.IndirectLoop)
        && (lie != RingLie.MoreThanTheRing || Size > 1);

    public override void Tell(RingLie lie)
    {
        GuestAddress buffer = Memory.Allocate(64);
        GuestAddress table = Memory.Allocate(16 * 64);
        byte* entries = Memory.At(table, 16 * 64);
        switch (lie)
        {
            case RingLie.Loop:
                for (int i = 0; i < Size; i++)
                    WriteNext(buffer, 16, Next, 7);

                break;
            case RingLie.ChainTooLong:
                int many = Math.Max(Size, 1024) + 1;
                table = Memory.Allocate(16 * many);
                for (int i = 0; i < many; i++)
                    WriteEntry(Memory.At(table, 16UL * (ulong)many) + (16 * i), buffer, 16, 0);

                WriteNext(table, (uint)(16 * many), Indirect, 7);
                break;
            case RingLie.MoreThanTheRing:
                // A chain of one descriptor, then one that goes on through the rest of the ring and into the first.
                WriteNext(buffer, 16, 0, 6);
                for (int i = 1; i < Size; i++)
                    WriteNext(buffer, 16, Next, 7);

                break;
            case RingLie.IndirectNotNegotiated:
                WriteEntry(entries, buffer, 16, 0);
                WriteNext(table, 16, Indirect, 7);
                break;
            case RingLie.IndirectWithNext:
                WriteEntry(entries, buffer, 16, 0);
                WriteNext(table, 16, Indirect | Next, 7);
                break;
            case RingLie.IndirectEmpty:
                WriteNext(table, 0, Indirect, 7);
                break;
            case RingLie.IndirectOddLength:
                WriteNext(table, 17, Indirect, 7);
                break;
            case RingLie.IndirectHuge:
                WriteNext(table, 0xffff_fff0, Indirect, 7);
                break;
            case RingLie.IndirectOutsideMemory:
                WriteNext(TestMemory.Outside, 16, Indirect, 7);
                break;
            case RingLie.IndirectLeavesMemory:
                MemoryRegion last = Memory.Regions[^1];
                GuestAddress end = new(last.GuestAddress.Value + last.Size - 16);
                WriteEntry(Memory.At(end, 16), buffer, 16, 0);
                WriteNext(end, 32, Indirect, 7);
                break;
            case RingLie.IndirectWrapsAround:
                WriteNext(new GuestAddress(ulong.MaxValue - 15), 64, Indirect, 7);
                break;
            case RingLie.ReadableAfterWritable:
                WriteEntry(entries, buffer, 16, Write);
                WriteEntry(entries + 16, buffer, 16, 0);
                WriteNext(table, 32, Indirect, 7);
                break;
            case RingLie.MoreThan4GiB:
                WriteEntry(entries, buffer, uint.MaxValue, 0);
                WriteEntry(entries + 16, buffer, 2, 0);
                WriteNext(table, 32, Indirect, 7);
                break;
            default:
                throw new NotSupportedException($"a packed ring cannot tell {lie}");
        }
    }
}
