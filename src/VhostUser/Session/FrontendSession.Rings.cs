using VhostUser.Protocol;
using VhostXen.Linux;

namespace VhostUser.Session;

/// <content>Rings.</content>
public sealed partial class FrontendSession
{
    /// <summary>
    /// Sets a ring up and enables it: size, base, addresses, error and call eventfds, and last the kick, which is
    /// what starts it.
    /// </summary>
    public async Task StartRingAsync(FrontendRing ring, CancellationToken cancellation = default)
    {
        uint index = (uint)ring.Index;
        await TellAsync(FrontendRequest.SetVringNum, new VringState(index, (uint)ring.Size), cancellation).ConfigureAwait(false);
        await TellAsync(FrontendRequest.SetVringBase, new VringState(index, ring.Base), cancellation).ConfigureAwait(false);
        await SetRingAddressesAsync(ring, cancellation).ConfigureAwait(false);
        if (ring.Error is not null)
            await SetRingFdAsync(FrontendRequest.SetVringErr, ring.Index, ring.Error, cancellation).ConfigureAwait(false);

        await SetRingFdAsync(FrontendRequest.SetVringCall, ring.Index, ring.Call, cancellation).ConfigureAwait(false);
        await SetRingFdAsync(FrontendRequest.SetVringKick, ring.Index, ring.Kick, cancellation).ConfigureAwait(false);
        if (Protocol != ProtocolFeatures.None)
            await EnableRingAsync(ring.Index, enabled: true, cancellation).ConfigureAwait(false);
    }

    /// <summary>Tells (again) where a ring is, and whether its writes are logged.</summary>
    public Task SetRingAddressesAsync(FrontendRing ring, CancellationToken cancellation = default)
    {
        var address = new VringAddress(
            (uint)ring.Index,
            ring.LogAddress is null ? 0 : VringAddress.LogFlag,
            ring.Descriptors,
            ring.Used,
            ring.Available,
            ring.LogAddress ?? default);
        return TellAsync(FrontendRequest.SetVringAddr, address, cancellation);
    }

    /// <summary>Lets a ring be processed, or suspends it (SET_VRING_ENABLE).</summary>
    public Task EnableRingAsync(int index, bool enabled, CancellationToken cancellation = default)
        => TellAsync(FrontendRequest.SetVringEnable, new VringState((uint)index, enabled ? 1u : 0u), cancellation);

    /// <summary>Changes a ring's call eventfd; null for no interrupts.</summary>
    public Task SetCallAsync(int index, EventFd? call, CancellationToken cancellation = default)
        => SetRingFdAsync(FrontendRequest.SetVringCall, index, call, cancellation);

    /// <summary>Stops a ring; the answer comes when every request has been given back.</summary>
    /// <returns>Where to go on, as SET_VRING_BASE encodes it.</returns>
    public async Task<uint> StopRingAsync(int index, CancellationToken cancellation = default)
    {
        using VhostUserMessage reply = await ExchangeAsync(
            FrontendRequest.GetVringBase, Bytes(new VringState((uint)index, 0)), [], _options.DrainTimeout, cancellation).ConfigureAwait(false);
        VringState state = ReadReply<VringState>(FrontendRequest.GetVringBase, reply);
        return state.Index == (uint)index
            ? state.Number
            : throw new FrontendException($"GET_VRING_BASE of ring {index} was answered for ring {state.Index}");
    }

    /// <summary>Kicks a ring by message (VRING_KICK; needs INBAND_NOTIFICATIONS).</summary>
    public Task KickInBandAsync(int index, CancellationToken cancellation = default)
    {
        Require(ProtocolFeatures.InbandNotifications);
        return TellAsync(FrontendRequest.VringKick, new VringState((uint)index, 0), cancellation);
    }

    private Task SetRingFdAsync(FrontendRequest request, int index, EventFd? fd, CancellationToken cancellation)
        => fd is null
            ? TellAsync(request, new VringFd((byte)index, HasFd: false), cancellation)
            : TellAsync(request, new VringFd((byte)index, HasFd: true), cancellation, fd.Handle);
}
