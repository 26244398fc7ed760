using VhostUser.Memory;
using VhostUser.Protocol;

namespace VhostUser.Session;

/// <content>The guest's IOMMU: translations come as messages, and misses are asked for on the channel.</content>
public sealed partial class BackendSession
{
    private Iotlb? _iotlb;

    /// <summary>ACCESS_PLATFORM means an IOTLB, except where regions are Xen's and say themselves what an address is.</summary>
    private void MakeIotlb()
    {
        bool wanted = (Features & VirtioFeatures.AccessPlatform) != 0 && _options.AccessPlatform && !_xenRegions;
        if (wanted != _iotlb is not null)
            _iotlb = wanted ? new Iotlb((iova, write) => _channel?.AskIotlb(iova, write)) : null;
    }

    private async Task IotlbMsgAsync(IotlbMessage message)
    {
        if (_iotlb is not { } iotlb)
            throw new RequestRefusedException("VIRTIO_F_ACCESS_PLATFORM has not been negotiated");

        switch (message.Type)
        {
            case IotlbType.Update:
                await UpdateAsync(iotlb, message).ConfigureAwait(false);
                break;
            case IotlbType.Invalidate:
                await InvalidateAsync(iotlb, message).ConfigureAwait(false);
                break;
            default:
                throw new RequestRefusedException($"IOTLB message of type {(byte)message.Type}");
        }
    }

    private async Task UpdateAsync(Iotlb iotlb, IotlbMessage message)
    {
        if (message.Size == 0 || message.Iova > ulong.MaxValue - (message.Size - 1))
            throw new RequestRefusedException($"translation of 0x{message.Size:x} bytes at 0x{message.Iova:x}");

        GuestAddress target = new(message.UserAddress.Value);
        if (!HasProtocolFeature(ProtocolFeatures.GpaAddresses) && !_memory.TryTranslate(message.UserAddress, message.Size, out target))
            throw new RequestRefusedException($"translation to 0x{message.Size:x} bytes at {message.UserAddress}, which lie in no region");

        iotlb.Update(
            message.Iova, message.Size, target, message.Permissions.HasFlag(IotlbPermissions.Read), message.Permissions.HasFlag(IotlbPermissions.Write));
        foreach (SessionVring ring in _vrings)
        {
            if (ring.Suspended && TryResolve(ring, _memory, out _, out _))
                await ResumeAsync(ring).ConfigureAwait(false);

            await StartIfReadyAsync(ring).ConfigureAwait(false);
            if (ring.Started)
                ring.Vring.Kick();
        }
    }

    /// <summary>
    /// Buffers that are being used keep their translation (the driver has not had them back, so it has no business
    /// unmapping them); a ring whose own memory goes stops before this message is acknowledged.
    /// </summary>
    private async Task InvalidateAsync(Iotlb iotlb, IotlbMessage message)
    {
        iotlb.Invalidate(message.Iova, message.Size);
        foreach (SessionVring ring in _vrings)
        {
            if (!ring.Started || ring.Suspended || TryResolve(ring, _memory, out _, out _))
                continue;

            await ring.QuiesceAsync().ConfigureAwait(false);
            ring.Suspended = true;
        }
    }

    private unsafe byte* FindThroughIotlb(GuestMemoryMap memory, FrontendAddress address, ulong length, bool writable, out GuestAddress guest)
    {
        guest = default;
        var pieces = new List<GuestRange>();
        if (_iotlb!.TryTranslate([new GuestRange(new GuestAddress(address.Value), (uint)length, writable)], pieces) != TranslateResult.Ok)
            return null;

        // The ring is used through one pointer: its pieces must follow each other.
        for (int i = 1; i < pieces.Count; i++)
        {
            if (pieces[i].Address.Value != pieces[i - 1].Address.Value + pieces[i - 1].Length)
                return null;
        }

        guest = pieces[0].Address;
        return memory.FindRing(new FrontendAddress(guest.Value), length, guestAddressesFirst: true, out _);
    }
}
