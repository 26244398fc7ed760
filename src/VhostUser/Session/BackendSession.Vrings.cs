using System.Numerics;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;

namespace VhostUser.Session;

/// <content>
/// Rings. One starts when its size, its addresses and word about its kick have come, in whatever order, and
/// stops at GET_VRING_BASE. A ring that is started and not enabled takes nothing.
/// </content>
public sealed partial class BackendSession
{
    private const int MaxSplitRing = 32768;

    private async Task SetVringNumAsync(VringState state)
    {
        SessionVring ring = Ring(state.Index);
        if (ring.Started)
            throw new RequestRefusedException($"ring {ring.Index} runs");

        if (state.Number == 0 || state.Number > (uint)Math.Min(_device.MaxQueueSize, MaxSplitRing))
            throw new RequestRefusedException($"ring {ring.Index} of {state.Number} entries, at most {_device.MaxQueueSize} are taken");

        if (_features is not null && !IsPacked && !BitOperations.IsPow2(state.Number))
            throw new RequestRefusedException($"split ring {ring.Index} of {state.Number} entries, which is no power of two");

        ring.Size = (int)state.Number;
        await StartIfReadyAsync(ring).ConfigureAwait(false);
    }

    private async Task SetVringAddrAsync(VringAddress address)
    {
        SessionVring ring = Ring(address.Index);
        VringAddress? before = ring.Address;
        ring.Address = address;
        try
        {
            // Under an IOMMU a translation may still be missing, and says so by itself.
            if (_memory != GuestMemoryMap.Empty && ring.Size != 0 && _features is not null && _iotlb is null
                && !TryResolve(ring, _memory, out _, out string? cause))
                throw new RequestRefusedException($"ring {ring.Index}: {cause}");

            CheckLogCovers(ring, _log);
            if (!ring.Started)
            {
                await StartIfReadyAsync(ring).ConfigureAwait(false);
                return;
            }
        }
        catch
        {
            ring.Address = before;
            throw;
        }

        // A running ring: usually the same addresses again, to turn logging of the used ring on or off.
        if (before is { } old && old with { Flags = address.Flags, LogGuestAddress = address.LogGuestAddress } == address)
        {
            await ApplyLogAsync(ring).ConfigureAwait(false);
            return;
        }

        await ring.QuiesceAsync().ConfigureAwait(false);
        await ResumeAsync(ring).ConfigureAwait(false);
    }

    private async Task SetVringBaseAsync(VringState state)
    {
        SessionVring ring = Ring(state.Index);
        if (ring.Started)
            throw new RequestRefusedException($"ring {ring.Index} runs");

        if (_features is not null && !IsPacked && state.Number > ushort.MaxValue)
            throw new RequestRefusedException($"split ring {ring.Index} at base {state.Number}");

        ring.Base = state.Number;
        await StartIfReadyAsync(ring).ConfigureAwait(false);
    }

    private async Task GetVringBaseAsync(VringState state)
    {
        SessionVring ring = Ring(state.Index);
        await ring.StopAsync(leaveInFlight: HasProtocolFeature(ProtocolFeatures.GetVringBaseInflight)).ConfigureAwait(false);
        await ReplyAsync(new VringState(state.Index, ring.Base)).ConfigureAwait(false);
    }

    private async Task SetVringKickAsync(VringFd message)
    {
        SessionVring ring = Ring(message.Index);
        EventFd? kick = TakeEventFd(message);
        await ring.SetKickAsync(kick).ConfigureAwait(false);

        // Without a descriptor the ring is polled, or, if kicks are messages, starts with the first of them.
        ring.MayStart = message.HasFd || !HasProtocolFeature(ProtocolFeatures.InbandNotifications);
        await StartIfReadyAsync(ring).ConfigureAwait(false);
    }

    private async Task VringKickAsync(VringState state)
    {
        SessionVring ring = Ring(state.Index);
        if (!ring.Started)
        {
            ring.MayStart = true;
            await StartIfReadyAsync(ring).ConfigureAwait(false);
            if (!ring.Started)
                throw new RequestRefusedException($"ring {ring.Index} is kicked and cannot start yet");
        }

        ring.Vring.Kick();
    }

    private Task SetVringCallAsync(VringFd message)
    {
        SessionVring ring = Ring(message.Index);
        return ring.SetCallAsync(TakeEventFd(message));
    }

    private Task SetVringErrAsync(VringFd message)
    {
        SessionVring ring = Ring(message.Index);
        return ring.SetErrorAsync(TakeEventFd(message));
    }

    private Task SetVringEnableAsync(VringState state)
    {
        SessionVring ring = Ring(state.Index);
        return state.Number <= 1
            ? EnableAsync(ring, state.Number == 1)
            : throw new RequestRefusedException($"ring {ring.Index} enabled by {state.Number}");
    }

    private Task SetVringEndian(VringState state)
    {
        Ring(state.Index);
        return state.Number == (BitConverter.IsLittleEndian ? 0u : 1u)
            ? Task.CompletedTask
            : throw new RequestRefusedException("rings in the other byte order belong to legacy drivers, which are not served");
    }

    private static async Task EnableAsync(SessionVring ring, bool enabled)
    {
        ring.Enabled = enabled;
        await ring.Vring.SetEnabledAsync(enabled).ConfigureAwait(false);
    }

    /// <summary>The index and the descriptor must agree on whether there is one.</summary>
    private VringFd ReadVringFd(string name)
    {
        VringFd message = _message.Read<VringFd>(name);
        if (message.HasFd == (_message.Fds.Count == 1))
            return message;

        throw new ProtocolException(name, message.HasFd ? "a descriptor is announced and none came" : "no descriptor is announced and one came");
    }

    private EventFd? TakeEventFd(VringFd message)
    {
        if (!message.HasFd)
            return null;

        try
        {
            return EventFd.FromReceived(_message.Fds.Take());
        }
        catch (SystemCallException e)
        {
            throw new RequestRefusedException(e.Message, e);
        }
    }
}
