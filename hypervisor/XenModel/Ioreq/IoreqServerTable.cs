using XenMemoryProvider.Abi;
using XenModel.Domains;
using IoreqSlot = XenMemoryProvider.Abi.Ioreq;

namespace XenModel.Ioreq;

/// <summary>The ioreq servers of a guest, and which of them a request goes to. Callers hold the hypervisor's gate.</summary>
internal sealed class IoreqServerTable(Domain domain)
{
    private readonly IoreqServer?[] _servers = new IoreqServer?[DmOp.MaxIoreqServers];
    private ulong _takenGuestFrames;
    private bool _legacyMarked;
    private bool _legacyBufferedMarked;

    /// <summary>The server that the memory type <see cref="HvmOp.MemType.IoreqServer"/> was claimed by.</summary>
    public IoreqServer? MemTypeServer { get; set; }

    public IEnumerable<IoreqServer> Enabled => _servers.Reverse().OfType<IoreqServer>().Where(server => server.Enabled);

    /// <summary>Servers there are, enabled or not.</summary>
    public int Count => _servers.Count(static server => server is not null);

    public IoreqServer? Find(uint id) => id < (uint)_servers.Length ? _servers[id] : null;

    /// <summary>0, -ENOSPC.</summary>
    public int Create(Domain emulator, DmOp.BufferedIoreq buffering, out ushort id)
    {
        id = 0;
        if (domain.IsDying) return -(int)XenErrno.EINVAL;
        int free = Array.IndexOf(_servers, null);
        if (free < 0) return -(int)XenErrno.ENOSPC;
        if (IoreqServer.TryCreate(domain, emulator, (ushort)free, buffering) is not { } server) return -(int)XenErrno.ENOSPC;
        _servers[free] = server;
        id = (ushort)free;
        return 0;
    }

    public void Destroy(IoreqServer server)
    {
        if (MemTypeServer == server) MemTypeServer = null;
        _servers[server.Id] = null;
        server.Destroy();
    }

    public void DestroyAll()
    {
        foreach (IoreqServer server in _servers.OfType<IoreqServer>().ToArray()) Destroy(server);
    }

    /// <summary>
    /// The enabled server with the highest number whose one range holds the whole access. A configuration access is turned
    /// into its own type; one that nobody claims is not offered to the port's owner.
    /// </summary>
    public IoreqServer? Select(ref IoreqSlot request, uint configAddress)
    {
        if (request.Type is not (IoreqType.Pio or IoreqType.Copy)) return null;
        DmOp.IoRangeType type = request.Type == IoreqType.Pio ? DmOp.IoRangeType.Port : DmOp.IoRangeType.Memory;
        ulong start, end;
        if (type == DmOp.IoRangeType.Port && (request.Addr & ~3UL) == 0xcfc && (configAddress & 0x80000000) != 0)
        {
            type = DmOp.IoRangeType.Pci;
            start = end = configAddress >> 8 & 0xffff;
        }
        else if (type == DmOp.IoRangeType.Port)
        {
            start = request.Addr;
            end = start + request.AccessSize - 1;
        }
        else
        {
            ulong before = request.Descending ? (request.Count - 1UL) * request.AccessSize : 0;
            ulong after = request.Descending ? request.AccessSize : (ulong)request.Count * request.AccessSize;
            start = request.Addr - before;
            end = request.Addr + after - 1;
        }

        for (int id = _servers.Length - 1; id >= 0; id--)
        {
            if (_servers[id] is not { Enabled: true } server || !server.Ranges(type)!.Contains(start, end)) continue;
            if (type == DmOp.IoRangeType.Pci)
            {
                request.Type = IoreqType.PciConfig;
                request.Addr = start << 32 | configAddress & 0xfc | request.Addr & 3;
            }

            return server;
        }

        return null;
    }

    /// <summary>One of the guest frames that the toolstack set aside for servers.</summary>
    public ulong? TryTakeGuestFrame()
    {
        ulong first = domain.Params[HvmParam.IoreqServerPfn];
        int count = (int)Math.Min(domain.Params[HvmParam.NrIoreqServerPages], 64);
        for (int i = 0; first != 0 && i < count; i++)
        {
            if ((_takenGuestFrames >> i & 1) != 0) continue;
            _takenGuestFrames |= 1UL << i;
            return first + (uint)i;
        }

        // Then the pages of the one server that guests had in former times. Xen 4.17 takes the mark of a free page for that of
        // a taken one: the first to ask gets nothing, whoever asks then gets the page.
        if (TryTakeLegacy(HvmParam.IoreqPfn, ref _legacyMarked) is { } page) return page;
        return TryTakeLegacy(HvmParam.BufioreqPfn, ref _legacyBufferedMarked);
    }

    public void GiveBackGuestFrame(ulong gfn)
    {
        ulong first = domain.Params[HvmParam.IoreqServerPfn];
        if (gfn == domain.Params[HvmParam.IoreqPfn]) _legacyMarked = true;
        else if (gfn == domain.Params[HvmParam.BufioreqPfn]) _legacyBufferedMarked = true;
        else if (gfn >= first && gfn - first < 64) _takenGuestFrames &= ~(1UL << (int)(gfn - first));
    }

    /// <summary>The toolstack said where the page of a server of former times is.</summary>
    public void LegacyFrameSet(HvmParam index)
    {
        if (index == HvmParam.IoreqPfn) _legacyMarked = true;
        else _legacyBufferedMarked = true;
    }

    private ulong? TryTakeLegacy(HvmParam index, ref bool marked)
    {
        bool skip = marked;
        marked = false;
        return skip ? null : domain.Params[index];
    }
}
