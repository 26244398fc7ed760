using XenMemoryProvider.Abi;
using XenModel.Memory;

namespace XenModel.Domains;

/// <summary>What xl and libxenguest do to a new domain: RAM around the hole below 4 GiB, special pages, parameters.</summary>
internal static class DomainBuilder
{
    private const ulong FourGiB = 1UL << 32;
    private const ulong HvmHole = 0xf0000000;
    private const ulong PvhHole = 0xfc000000;
    private const ulong FirstSpecialGfn = 0xfeff8;
    private const ulong FirstIoreqServerGfn = 0xfeff0;
    private const int SpecialPages = 8;
    private const int MaxVcpus = 128;
    private const ulong VideoHole = 0xa0, VideoHoleEnd = 0xc0;

    // Order of the special pages: paging, access, sharing, buffered ioreq, xenstore, ioreq, identity page table, console.
    private const int BufioreqPage = 3, StorePage = 4, IoreqPage = 5, IdentPtPage = 6, ConsolePage = 7;

    public static int PagesOf(int mebibytes) => checked(mebibytes * 256);

    public static int MaxPages(DomainOptions options) => checked(PagesOf(options.MemoryMiB) + options.SlackPages);

    public static ulong HoleOf(DomainOptions options) =>
        options.MmioHole != 0 ? options.MmioHole : options.Type == DomainType.HVM ? HvmHole : PvhHole;

    /// <exception cref="InvalidOperationException">They make no domain.</exception>
    public static void Validate(DomainOptions options)
    {
        if (options.MemoryMiB is < 1 or > 60 << 10) throw new InvalidOperationException($"memory of {options.MemoryMiB} MiB is not between 1 MiB and 60 GiB");
        if (options.Vcpus is < 1 or > MaxVcpus) throw new InvalidOperationException($"{options.Vcpus} virtual CPUs are not between 1 and {MaxVcpus}");
        if (options.SlackPages < SpecialPages * 2) throw new InvalidOperationException($"{options.SlackPages} pages of slack do not hold the special pages");
        if (options.MaxEventChannelPort is < 1 or >= EventFifo.ChannelCount) throw new InvalidOperationException($"{options.MaxEventChannelPort} is not an event channel");
        if (options.MaxGrantFrames is < 1 or > 1024 || options.MaxMaptrackFrames is < 0 or > 8192) throw new InvalidOperationException("grant limits are not between 1 and 1024 frames");
        if (options.MaxGrantVersion is not (1 or 2)) throw new InvalidOperationException("grant tables have version 1 or 2");
        if (options.MmioHole % FramePool.PageSize != 0 || options.MmioHole >= FourGiB) throw new InvalidOperationException("the hole starts at a page below 4 GiB");
    }

    public static void Build(Domain domain)
    {
        ulong pages = (ulong)PagesOf(domain.Options.MemoryMiB);
        if (!domain.IsTranslated)
        {
            for (ulong i = 0; i < pages; i++)
            {
                if (domain.P2m.TryAllocate() is null) throw new InvalidOperationException($"no memory for page {i}");
            }

            return;
        }

        ulong low = Math.Min(pages, HoleOf(domain.Options) >> FramePool.PageShift);
        if (domain.Type == DomainType.HVM && low > VideoHole)
        {
            Populate(domain, 0, VideoHole);
            Populate(domain, VideoHoleEnd, low - Math.Min(low, VideoHoleEnd));
        }
        else
        {
            Populate(domain, 0, low);
        }

        Populate(domain, FourGiB >> FramePool.PageShift, pages - low);
        Populate(domain, FirstSpecialGfn, SpecialPages);
        SetParameters(domain);
    }

    private static void SetParameters(Domain domain)
    {
        HvmParams parameters = domain.Params;
        parameters[HvmParam.StorePfn] = FirstSpecialGfn + StorePage;
        parameters[HvmParam.ConsolePfn] = FirstSpecialGfn + ConsolePage;
        parameters[HvmParam.IdentPt] = FirstSpecialGfn + IdentPtPage << FramePool.PageShift;
        parameters[HvmParam.StoreEvtchn] = OpenFor(domain, 0);
        parameters[HvmParam.ConsoleEvtchn] = OpenFor(domain, 0);
        parameters[HvmParam.IoreqPfn] = FirstSpecialGfn + IoreqPage;
        parameters[HvmParam.BufioreqPfn] = FirstSpecialGfn + BufioreqPage;
        domain.ParamChanged(HvmParam.IoreqPfn);
        domain.ParamChanged(HvmParam.BufioreqPfn);
        if (domain.Type != DomainType.HVM) return;
        Populate(domain, FirstIoreqServerGfn, SpecialPages);
        parameters[HvmParam.IoreqServerPfn] = FirstIoreqServerGfn;
        parameters[HvmParam.NrIoreqServerPages] = SpecialPages;
    }

    private static uint OpenFor(Domain domain, ushort remote)
    {
        EventChannels.EventChannel channel = domain.Events.TryOpen(EventChannelOp.ChannelState.Unbound, 0)!;
        channel.UnboundDomid = remote;
        return channel.Port;
    }

    private static void Populate(Domain domain, ulong first, ulong count)
    {
        for (ulong gfn = first; gfn < first + count; gfn++)
        {
            if (!domain.P2m.TryPopulate(gfn)) throw new InvalidOperationException($"no memory for guest frame 0x{gfn:x}");
        }
    }
}
