using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;

namespace VhostUser.Session;

/// <content>
/// Memory regions. A table is mapped whole before anything changes, so a refusal leaves what was there; rings
/// that run are quiesced, found again in the new memory, and go on.
/// </content>
public sealed partial class BackendSession
{
    private GuestMemoryMap _memory = GuestMemoryMap.Empty;

    /// <summary>Whether the front-end speaks of regions as Xen has them: then addresses need no IOTLB.</summary>
    private bool _xenRegions;

    private async Task SetMemTableAsync(string name)
    {
        MemoryRegion[] regions = ReadMemTable(name, out bool xen);
        if (_message.Fds.Count != regions.Length)
            throw new ProtocolException(name, $"{regions.Length} regions with {_message.Fds.Count} descriptors");

        if (regions.Length > _options.MaxMemorySlots)
            throw new RequestRefusedException($"{regions.Length} regions, at most {_options.MaxMemorySlots} are taken");

        for (int i = 0; i < regions.Length; i++)
        {
            CheckRegion(regions[i]);
            CheckSealed(regions[i], _message.Fds.Peek(i));
        }

        GuestMemoryMap old = _memory;
        GuestMemoryMap map = MapAll(regions);
        try
        {
            if (_postcopy is { Listening: true })
                await SharePostcopyTableAsync(regions, map, xen).ConfigureAwait(false);

            await ReplaceMemoryAsync(map).ConfigureAwait(false);
        }
        catch
        {
            Dispose(map);
            throw;
        }

        _xenRegions = Array.Exists(regions, static region => region.XenFlags != XenMmapFlags.None);
        MakeIotlb();
        Dispose(old);
        LogMemory();
        await StartReadyRingsAsync().ConfigureAwait(false);
    }

    private async Task AddMemRegAsync(string name)
    {
        if (_postcopy is { Listening: true } && _message.Payload.Length == UInt64Payload.WireSize)
        {
            RegisterAdded(name);
            return;
        }

        MemoryRegion region = ReadMemReg(name, out bool xen);
        if (_message.Fds.Count != 1)
            throw new ProtocolException(name, "no descriptor came with the region");

        if (_memory.Regions.Length >= _options.MaxMemorySlots)
            throw new RequestRefusedException($"{_memory.Regions.Length} regions are there, at most {_options.MaxMemorySlots} are taken");

        CheckRegion(region);
        CheckSealed(region, _message.Fds.Peek(0));
        var added = new GuestMemoryRegion(region, _provider.Map(region, _message.Fds.Peek(0)));
        try
        {
            var map = new GuestMemoryMap([.. _memory.Regions, added]);
            CheckUserAddresses(map);
            if (_postcopy is { Listening: true })
                await SharePostcopyRegionAsync(region, added, xen).ConfigureAwait(false);

            await Task.WhenAll(_vrings.Select(ring => ring.Vring.ExtendMemoryAsync(map))).ConfigureAwait(false);
            _memory = map;
        }
        catch
        {
            _unregistered.Remove(added);
            added.Dispose();
            throw;
        }

        if (region.XenFlags != XenMmapFlags.None && !_xenRegions)
        {
            _xenRegions = true;
            MakeIotlb();
        }

        LogMemory();
        await StartReadyRingsAsync().ConfigureAwait(false);
    }

    private async Task RemMemRegAsync(string name)
    {
        MemoryRegion wanted = ReadMemReg(name, out _);
        GuestMemoryRegion? found = _memory.Regions.FirstOrDefault(region =>
            region.Description.GuestAddress == wanted.GuestAddress
            && region.Size == wanted.Size
            && region.Description.UserAddress == wanted.UserAddress);
        if (found is null)
            throw new RequestRefusedException($"no region of 0x{wanted.Size:x} bytes at {wanted.GuestAddress} is there");

        await ReplaceMemoryAsync(new GuestMemoryMap(_memory.Regions.Where(region => region != found))).ConfigureAwait(false);
        _unregistered.Remove(found);
        found.Dispose();
        LogMemory();
    }

    private MemoryRegion[] ReadMemTable(string name, out bool xen)
    {
        MessageReader reader = _message.Reader(name);
        MemoryRegion[] regions = MemoryTable.Read(ref reader, out xen);
        reader.End();
        RequireXenMmap(name, xen);
        return regions;
    }

    private MemoryRegion ReadMemReg(string name, out bool xen)
    {
        MessageReader reader = _message.Reader(name);
        MemoryRegion region = MemoryTable.ReadSingle(ref reader, out xen);
        reader.End();
        RequireXenMmap(name, xen);
        return region;
    }

    private void RequireXenMmap(string name, bool xen)
    {
        if (xen && !HasProtocolFeature(ProtocolFeatures.XenMmap))
            throw new ProtocolException(name, "40-byte regions, and XEN_MMAP has not been negotiated");
    }

    private static void CheckRegion(in MemoryRegion region)
    {
        const XenMmapFlags known = XenMmapFlags.Foreign | XenMmapFlags.Grant | XenMmapFlags.NoAdvanceMap;
        ulong last = region.Size - 1;
        if (region.Size == 0)
            throw new RequestRefusedException($"region at {region.GuestAddress} has no bytes");

        if (region.GuestAddress.Value > ulong.MaxValue - last || region.UserAddress.Value > ulong.MaxValue - last || region.MmapOffset > long.MaxValue - last)
            throw new RequestRefusedException($"region of 0x{region.Size:x} bytes at {region.GuestAddress}, {region.UserAddress}, file offset 0x{region.MmapOffset:x} runs past the end of its space");

        if ((region.XenFlags & ~known) != 0)
            throw new RequestRefusedException($"region at {region.GuestAddress} has Xen flags 0x{(uint)region.XenFlags:x}");
    }

    private void CheckSealed(in MemoryRegion region, FileDescriptor file)
    {
        // What comes with a Xen region is no memory.
        if (region.XenFlags == XenMmapFlags.None)
            CheckSealed(file, $"the memory at {region.GuestAddress}");
    }

    private void CheckSealed(FileDescriptor file, string what)
    {
        if (_options.RequireSealedMemory && !SharedFile.SealAgainstShrinking(file))
            throw new RequestRefusedException($"the file of {what} can be cut short, and only sealed memory is taken");
    }

    private GuestMemoryMap MapAll(MemoryRegion[] regions)
    {
        var mapped = new List<GuestMemoryRegion>(regions.Length);
        try
        {
            for (int i = 0; i < regions.Length; i++)
                mapped.Add(new GuestMemoryRegion(regions[i], _provider.Map(regions[i], _message.Fds.Peek(i))));

            var map = new GuestMemoryMap(mapped);
            CheckUserAddresses(map);
            return map;
        }
        catch
        {
            mapped.ForEach(static region => region.Dispose());
            throw;
        }
    }

    /// <summary>Ring addresses are found by user address, so those must be unique; on-demand regions all say 0 and are never asked.</summary>
    private static void CheckUserAddresses(GuestMemoryMap map)
    {
        GuestMemoryRegion[] byUser = [.. map.Regions.Where(static region => region.MappedInAdvance).OrderBy(static region => region.Description.UserAddress.Value)];
        for (int i = 1; i < byUser.Length; i++)
        {
            MemoryRegion previous = byUser[i - 1].Description;
            MemoryRegion region = byUser[i].Description;
            if (region.UserAddress.Value - previous.UserAddress.Value < previous.Size)
                throw new RequestRefusedException($"regions at {previous.UserAddress} and {region.UserAddress} overlap");
        }
    }

    /// <summary>Puts a map in place of the current one, around rings that run. Throws only while nothing has changed.</summary>
    private async Task ReplaceMemoryAsync(GuestMemoryMap map)
    {
        SessionVring[] running = [.. _vrings.Where(static ring => ring.Started && !ring.Suspended)];
        foreach (SessionVring ring in running)
        {
            if (!TryResolve(ring, map, out _, out string? cause))
                throw new RequestRefusedException($"ring {ring.Index} runs and would lose its memory: {cause}");
        }

        await Task.WhenAll(running.Select(static ring => ring.QuiesceAsync())).ConfigureAwait(false);
        _memory = map;
        foreach (SessionVring ring in running)
            await ResumeAsync(ring).ConfigureAwait(false);
    }

    private void LogMemory()
        => _logger.MemoryChanged(Name, _memory.Regions.Length, _memory.Regions.Aggregate(0UL, static (sum, region) => unchecked(sum + region.Size)));

    private void DisposeMemory()
    {
        Dispose(_memory);
        _memory = GuestMemoryMap.Empty;
    }

    private static void Dispose(GuestMemoryMap map)
    {
        foreach (GuestMemoryRegion region in map.Regions)
            region.Dispose();
    }
}
