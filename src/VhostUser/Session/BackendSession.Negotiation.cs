using VhostUser.Protocol;

namespace VhostUser.Session;

/// <content>Features of both kinds, status, reset.</content>
public sealed partial class BackendSession
{
    private const uint NetworkDeviceId = 1;

    // Bits 24 to 49 of the feature word belong to the ring and the transport, that is to this library.
    private const ulong RingAndTransportBits = ((1UL << 50) - 1) & ~((1UL << 24) - 1);
    private const ulong StatusFeaturesOk = 8;
    private const ulong StatusNeedsReset = 64;

    private ulong? _features;
    private ProtocolFeatures _protocolFeatures;
    private ulong _status;
    private long _breaksAtReset;

    private ulong OfferedFeatures
    {
        get
        {
            ulong features = (_device.Features & ~RingAndTransportBits)
                | VirtioFeatures.Version1 | VirtioFeatures.LogAll | VirtioFeatures.ProtocolFeatures;
            Offer(_options.IndirectDescriptors, VirtioFeatures.IndirectDesc);
            Offer(_options.EventIdx, VirtioFeatures.EventIdx);
            Offer(_options.PackedRings, VirtioFeatures.RingPacked);
            Offer(_options.InOrder, VirtioFeatures.InOrder);
            Offer(_options.RingReset, VirtioFeatures.RingReset);
            Offer(_options.NotificationData, VirtioFeatures.NotificationData);

            // Under Xen it means "addresses are not plain guest-physical": grants, which the regions tell.
            Offer(_options.AccessPlatform || _provider.SupportsXenMmap, VirtioFeatures.AccessPlatform);
            return features;

            void Offer(bool condition, ulong bit) => features |= condition ? bit : 0;
        }
    }

    private ProtocolFeatures OfferedProtocolFeatures
    {
        get
        {
            ProtocolFeatures features = ProtocolFeatures.Mq | ProtocolFeatures.LogShmFd | ProtocolFeatures.ReplyAck
                | ProtocolFeatures.BackendReq | ProtocolFeatures.BackendSendFd | ProtocolFeatures.ResetDevice
                | ProtocolFeatures.ConfigureMemSlots | ProtocolFeatures.Status | ProtocolFeatures.GpaAddresses;
            Offer(_device.DeviceId == NetworkDeviceId, ProtocolFeatures.Rarp | ProtocolFeatures.Mtu);
            Offer(_device.ConfigSize > 0, ProtocolFeatures.Config);
            Offer(_device.SupportsInflight, ProtocolFeatures.InflightShmFd | ProtocolFeatures.GetVringBaseInflight);
            Offer(_device.SupportsDeviceState, ProtocolFeatures.DeviceState);
            Offer(_device.SharesObjects, ProtocolFeatures.SharedObject);
            Offer(_device.SharedMemorySizes.Count > 0, ProtocolFeatures.ShmemMap);
            Offer(_options.InbandNotifications, ProtocolFeatures.InbandNotifications);
            Offer(_options.Postcopy && UserFaults.IsPermitted, ProtocolFeatures.PageFault);
            Offer(_provider.SupportsXenMmap, ProtocolFeatures.XenMmap);
            return features & ~_options.WithoutProtocolFeatures;

            void Offer(bool condition, ProtocolFeatures bits) => features |= condition ? bits : 0;
        }
    }

    private ulong Features => _features ?? 0;

    private bool IsPacked => (Features & VirtioFeatures.RingPacked) != 0;

    private bool HasProtocolFeature(ProtocolFeatures feature) => (_protocolFeatures & feature) != 0;

    private ulong Status => _status | (AnyRingBroken ? StatusNeedsReset : 0);

    private bool AnyRingStarted => Array.Exists(_vrings, static ring => ring.Started);

    private bool AnyRingBroken => Breaks != _breaksAtReset;

    private long Breaks => _vrings.Sum(static ring => ring.Vring.Counters.Breaks);

    private async Task SetFeaturesAsync(ulong features)
    {
        ulong unoffered = features & ~OfferedFeatures;
        if (unoffered != 0)
            throw new RequestRefusedException($"features 0x{unoffered:x} were not offered");

        if ((features & VirtioFeatures.Version1) == 0)
            throw new RequestRefusedException("VIRTIO_F_VERSION_1 is not among the features, and legacy drivers are not served");

        // Turning the dirty log on and off is all that a running device takes.
        if (AnyRingStarted && ((features ^ Features) & ~VirtioFeatures.LogAll) != 0)
            throw new RequestRefusedException($"features change from 0x{Features:x} to 0x{features:x} while rings run");

        if (_features != features)
            _logger.FeaturesSet(Name, features);

        // Told again even when they are the same: the device may have been reset in between.
        _features = features;
        if (!AnyRingStarted)
            _device.SetFeatures(features);

        MakeIotlb();

        if ((features & VirtioFeatures.ProtocolFeatures) == 0)
        {
            // A front-end that knows no protocol features does not know SET_VRING_ENABLE either.
            foreach (SessionVring ring in _vrings)
                await EnableAsync(ring, true).ConfigureAwait(false);
        }

        await ApplyLogAsync().ConfigureAwait(false);
        await StartReadyRingsAsync().ConfigureAwait(false);
    }

    private Task SetProtocolFeatures(ProtocolFeatures features)
    {
        ProtocolFeatures unoffered = features & ~OfferedProtocolFeatures;
        if (unoffered != 0)
            throw new RequestRefusedException($"protocol features {unoffered} were not offered");

        if (AnyRingStarted && features != _protocolFeatures)
            throw new RequestRefusedException("protocol features change while rings run");

        const ProtocolFeatures inbandNeeds = ProtocolFeatures.BackendReq | ProtocolFeatures.ReplyAck;
        if (features.HasFlag(ProtocolFeatures.InbandNotifications) && !features.HasFlag(inbandNeeds))
            throw new ProtocolException("SET_PROTOCOL_FEATURES", "INBAND_NOTIFICATIONS without BACKEND_REQ and REPLY_ACK");

        if (features.HasFlag(ProtocolFeatures.GetVringBaseInflight) && !features.HasFlag(ProtocolFeatures.InflightShmFd))
            throw new RequestRefusedException("GET_VRING_BASE_INFLIGHT without INFLIGHT_SHMFD");

        _protocolFeatures = features;
        _logger.ProtocolFeaturesSet(Name, features);
        return Task.CompletedTask;
    }

    /// <summary>RESET_OWNER is deprecated; what is left of it is to disable all rings.</summary>
    private async Task DisableAllAsync()
    {
        foreach (SessionVring ring in _vrings)
            await EnableAsync(ring, false).ConfigureAwait(false);
    }

    private async Task ResetDeviceAsync()
    {
        await Task.WhenAll(_vrings.Select(static ring => ring.StopAsync())).ConfigureAwait(false);
        foreach (SessionVring ring in _vrings)
            ring.Reset();

        DisposeInflight();
        _status = 0;
        _breaksAtReset = Breaks;
        _device.Reset();
    }

    /// <summary>
    /// Status 0 is not the reset that it looks like: QEMU sends it whenever a guest pauses or migrates (7.2 before
    /// GET_VRING_BASE, later ones after), and the guest goes on. So nothing is forgotten: neither where the rings
    /// are nor what the guest set in the configuration. RESET_DEVICE is the reset.
    /// </summary>
    private async Task StopAllAsync()
    {
        await Task.WhenAll(_vrings.Select(static ring => ring.StopAsync())).ConfigureAwait(false);
        _status = 0;
        _breaksAtReset = Breaks;
    }

    private Task SetStatusAsync(ulong status)
    {
        if (status > byte.MaxValue)
            throw new RequestRefusedException($"status 0x{status:x} has more than eight bits");

        if (status == 0)
            return StopAllAsync();

        // FEATURES_OK sticks only where features have been accepted: that is how a refusal reaches the driver.
        _status = _features is null ? status & ~StatusFeaturesOk : status;
        return Task.CompletedTask;
    }
}
