using VhostUser.Protocol;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace XenVhostMaster.Domains;

/// <summary>Where a guest's RAM is: below the hole for devices, and above 4 GiB what did not fit.</summary>
/// <param name="Banks">First address and size in bytes, whole pages.</param>
/// <param name="HoleStart">First address of the hole.</param>
internal sealed record MemoryLayout(IReadOnlyList<(ulong Start, ulong Size)> Banks, ulong HoleStart)
{
    private const ulong FourGiB = 1UL << 32;
    private const ulong FourGiBFrame = FourGiB / XenPage.Size;

    /// <summary>How low a hole may start, by the toolstack's rules: the low bank is never smaller where there is a high one.</summary>
    private const ulong LowestHoleFrame = (256UL << 20) / XenPage.Size;

    // Xen on Arm (public/arch-arm.h): 3 GiB at 1 GiB, the rest at 8 GiB.
    private const ulong ArmLow = 1UL << 30, ArmLowSize = 3UL << 30, ArmHigh = 8UL << 30;

    // The last place where a hole starts without a toolstack option: PVH guests (HVM ones have 0xf0000000).
    private const ulong LastHoleFrame = 0xfc000;

    /// <summary>Bytes in all.</summary>
    public ulong Total => (ulong)Banks.Sum(static bank => (long)bank.Size);

    /// <summary>
    /// Finds the banks of a guest, by the stable interface alone: how many frames there are, which is the last one, and where
    /// the low bank ends, by looking.
    /// </summary>
    /// <param name="privcmd">Not restricted yet.</param>
    /// <param name="memory">For looking.</param>
    /// <exception cref="XenException">ESRCH: no such domain.</exception>
    public static MemoryLayout Find(IPrivcmd privcmd, GuestMemory memory, ushort domid)
    {
        // The answer is a domain id in, a number out: as a value it does not fit an errno for guests below 8 TiB.
        var domain = new MemoryOp.Domain { Domid = domid };
        int last = XenException.Check(privcmd.MemoryOp(MemoryOp.Command.MaximumGpfn, ref domain), "XENMEM_maximum_gpfn", domid);
        domain = new MemoryOp.Domain { Domid = domid };
        int frames = XenException.Check(privcmd.MemoryOp(MemoryOp.Command.CurrentReservation, ref domain), "XENMEM_current_reservation", domid);
        return Find((ulong)last, (ulong)frames, memory.IsRam);
    }

    /// <summary>The same from numbers.</summary>
    /// <param name="lastFrame">The highest frame that is anything.</param>
    /// <param name="frames">How many frames the guest has.</param>
    /// <param name="isRam">Is there RAM at this frame?</param>
    internal static MemoryLayout Find(ulong lastFrame, ulong frames, Func<ulong, bool> isRam)
    {
        if (!isRam(0) && isRam(ArmLow / XenPage.Size))
            return FindArm(frames);

        ulong high = lastFrame >= FourGiBFrame ? lastFrame + 1 - FourGiBFrame : 0;

        // A few frames of the guest's are special pages in the hole, so this is where the low bank ends or a little more.
        ulong guess = Math.Min(frames > high ? frames - high : 0, LastHoleFrame);
        ulong end = high == 0 ? EndOfLowBank(guess, isRam) : EndOfLowBank(Math.Max(guess, LowestHoleFrame), isRam);
        var banks = new List<(ulong, ulong)>();
        if (end != 0)
            banks.Add((0, end * XenPage.Size));

        if (high != 0)
            banks.Add((FourGiB, high * XenPage.Size));

        return new MemoryLayout(banks, end * XenPage.Size);
    }

    private static MemoryLayout FindArm(ulong frames)
    {
        // A few of the frames are special pages elsewhere, so the last bank may end in as many holes.
        ulong size = frames * XenPage.Size;
        (ulong, ulong)[] banks = size <= ArmLowSize ? [(ArmLow, size)] : [(ArmLow, ArmLowSize), (ArmHigh, size - ArmLowSize)];
        return new MemoryLayout(banks, 0);
    }

    /// <summary>True where a guest address is RAM.</summary>
    public bool Contains(GuestAddress address)
    {
        foreach ((ulong start, ulong size) in Banks)
        {
            if (address.Value - start < size)
                return true;
        }

        return false;
    }

    /// <summary>
    /// The frame after the last one of the low bank. The VGA hole and what a balloon took make the count too low by up to a
    /// few hundred frames, so go up while there is RAM and down while there is none, in growing steps.
    /// </summary>
    private static ulong EndOfLowBank(ulong guess, Func<ulong, bool> isRam)
    {
        ulong low = guess, step = 1;
        while (low > 0 && !isRam(low - 1))
        {
            low -= Math.Min(step, low);
            step *= 2;
        }

        if (low != guess)
            return Bisect(low, guess, isRam);

        ulong high = guess;
        for (step = 1; high < LastHoleFrame && isRam(high); step *= 2)
        {
            low = high + 1;
            high = Math.Min(high + step, LastHoleFrame);
        }

        return Bisect(low, high, isRam);
    }

    /// <summary>RAM below <paramref name="low"/>, none at <paramref name="high"/> and above (or that is as far as it goes).</summary>
    private static ulong Bisect(ulong low, ulong high, Func<ulong, bool> isRam)
    {
        while (low < high)
        {
            ulong middle = low + (high - low) / 2;
            if (isRam(middle))
                low = middle + 1;
            else
                high = middle;
        }

        return low;
    }
}
