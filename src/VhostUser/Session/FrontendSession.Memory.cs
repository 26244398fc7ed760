using VhostUser.Protocol;
using VhostXen.Linux;

namespace VhostUser.Session;

/// <content>Guest memory, its translations, and its dirty log.</content>
public sealed partial class FrontendSession
{
    /// <summary>Shares all of the guest's memory (SET_MEM_TABLE), in place of what was shared before.</summary>
    /// <param name="regions">Without XEN_MMAP at most 8 are portable; this library's back-ends take 253.</param>
    public Task SetMemoryAsync(IReadOnlyList<FrontendRegion> regions, CancellationToken cancellation = default)
    {
        bool xen = Has(ProtocolFeatures.XenMmap);
        MemoryRegion[] table = [.. regions.Select(static region => region.Region)];
        byte[] payload = new byte[MemoryTable.TableSize(regions.Count, xen)];
        var writer = new MessageWriter(payload);
        MemoryTable.Write(ref writer, table, xen);
        return TellAsync(FrontendRequest.SetMemTable, payload, [.. regions.Select(static region => region.File)], cancellation);
    }

    /// <summary>Shares one more region (ADD_MEM_REG; needs CONFIGURE_MEM_SLOTS).</summary>
    public Task AddMemoryAsync(FrontendRegion region, CancellationToken cancellation = default)
    {
        Require(ProtocolFeatures.ConfigureMemSlots);
        return TellAsync(FrontendRequest.AddMemReg, Single(region.Region), [region.File], cancellation);
    }

    /// <summary>Takes one region back (REM_MEM_REG; needs CONFIGURE_MEM_SLOTS).</summary>
    public Task RemoveMemoryAsync(in MemoryRegion region, CancellationToken cancellation = default)
    {
        Require(ProtocolFeatures.ConfigureMemSlots);
        return TellAsync(FrontendRequest.RemMemReg, Single(region), [], cancellation);
    }

    /// <summary>How many regions the back-end takes (GET_MAX_MEM_SLOTS), or the baseline's 8.</summary>
    public async Task<int> GetMaxMemorySlotsAsync(CancellationToken cancellation = default)
        => Has(ProtocolFeatures.ConfigureMemSlots)
            ? (int)Math.Min(await AskAsync(FrontendRequest.GetMaxMemSlots, cancellation).ConfigureAwait(false), int.MaxValue)
            : 8;

    /// <summary>Gives the back-end a bitmap to mark written pages in (SET_LOG_BASE; needs LOG_SHMFD).</summary>
    /// <param name="file">Holds the bitmap; the caller keeps it.</param>
    /// <param name="size">Bytes of bitmap: one bit per 4 KiB page from guest address 0.</param>
    public async Task SetLogAsync(FileDescriptor file, ulong size, ulong offset = 0, CancellationToken cancellation = default)
    {
        Require(ProtocolFeatures.LogShmFd);
        using VhostUserMessage reply = await ExchangeAsync(
            FrontendRequest.SetLogBase, Bytes(new LogDescription(size, offset)), [file], _options.Timeout, cancellation).ConfigureAwait(false);

        // The reply's payload is empty or a u64, by implementation; that it came is what matters, unless it says failure.
        if (reply.Payload.Length == UInt64Payload.WireSize && ReadReply<UInt64Payload>(FrontendRequest.SetLogBase, reply).Value is not 0 and ulong status)
            throw new FrontendException($"the back-end refused SET_LOG_BASE (status {status})");
    }

    /// <summary>Gives the back-end a translation (IOTLB_MSG, update).</summary>
    /// <param name="target">What is behind it, in the front-end's address space.</param>
    public Task UpdateIotlbAsync(ulong iova, ulong size, FrontendAddress target, bool read, bool write, CancellationToken cancellation = default)
    {
        IotlbPermissions permissions = (read ? IotlbPermissions.Read : 0) | (write ? IotlbPermissions.Write : 0);
        return TellAsync(FrontendRequest.IotlbMsg, new IotlbMessage(iova, size, target, permissions, IotlbType.Update), cancellation);
    }

    /// <summary>Takes translations back (IOTLB_MSG, invalidate).</summary>
    public Task InvalidateIotlbAsync(ulong iova, ulong size, CancellationToken cancellation = default)
        => TellAsync(FrontendRequest.IotlbMsg, new IotlbMessage(iova, size, default, IotlbPermissions.None, IotlbType.Invalidate), cancellation);

    private byte[] Single(in MemoryRegion region)
    {
        bool xen = Has(ProtocolFeatures.XenMmap);
        byte[] payload = new byte[MemoryTable.SingleSize(xen)];
        var writer = new MessageWriter(payload);
        MemoryTable.WriteSingle(ref writer, region, xen);
        return payload;
    }
}
