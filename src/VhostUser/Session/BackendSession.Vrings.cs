using System.Numerics;
using VhostUser.Devices;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
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

        await ring.Vring.QuiesceAsync().ConfigureAwait(false);
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
        await ring.StopAsync().ConfigureAwait(false);
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

    private async Task StartReadyRingsAsync()
    {
        foreach (SessionVring ring in _vrings)
            await StartIfReadyAsync(ring).ConfigureAwait(false);
    }

    private async Task StartIfReadyAsync(SessionVring ring)
    {
        if (ring.Started || !ring.MayStart || ring.Size == 0 || ring.Address is null || _features is null || _memory == GuestMemoryMap.Empty)
            return;

        if (!TryResolve(ring, _memory, out VirtqueueLayout layout, out string? cause))
        {
            // Under an IOMMU the translation is still on its way.
            if (_iotlb is not null)
                return;

            ring.MayStart = false;
            throw new RequestRefusedException($"ring {ring.Index} cannot start: {cause}");
        }

        CheckBase(ring);
        try
        {
            await ring.Vring.StartAsync(MakeSetup(ring, layout)).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not RequestRefusedException)
        {
            ring.MayStart = false;
            throw new RequestRefusedException($"ring {ring.Index} cannot start: {e.Message}", e);
        }

        ring.Started = true;
        FlushConfigChange();
    }

    private VringSetup MakeSetup(SessionVring ring, in VirtqueueLayout layout)
    {
        int index = ring.Index;
        bool inband = HasProtocolFeature(ProtocolFeatures.InbandNotifications);
        return new VringSetup
        {
            Layout = layout,
            Features = Features,
            Base = ring.Base,
            Memory = _memory,
            Kick = ring.Kick,
            Call = ring.Call,
            Error = ring.Error,
            InBandKicks = inband,
            InBandCall = inband ? () => _channel?.CallRing(index) : null,
            InBandError = inband ? () => _channel?.ReportRingError(index) : null,
            Enabled = ring.Enabled,
            Log = _log,
            LogBuffers = LogsBuffers,
            Inflight = InflightOf(ring),
            Iotlb = _iotlb,
        };
    }

    /// <summary>
    /// Goes on with a quiesced ring in the memory there is now. Where that is impossible the ring does not run with
    /// what is gone: it waits for its translation, or it stops.
    /// </summary>
    private async Task ResumeAsync(SessionVring ring)
    {
        string cause;
        try
        {
            ring.Suspended = !TryResolve(ring, _memory, out VirtqueueLayout layout, out string? unresolved);
            if (ring.Suspended && _iotlb is not null)
                return;

            if (!ring.Suspended)
            {
                VringSetup setup = MakeSetup(ring, layout);
                await ring.Vring.ResumeAsync(old => setup with { Base = old.Base }).ConfigureAwait(false);
                return;
            }

            cause = unresolved!;
        }
        catch (Exception e)
        {
            cause = e.Message;
        }

        await ring.StopAsync().ConfigureAwait(false);
        CountRefusal("ring", $"{ring.Index} cannot go on and stops: {cause}");
    }

    private void CheckBase(SessionVring ring)
    {
        if (IsPacked)
        {
            if ((ring.Base & 0x7fff) >= (uint)ring.Size || ((ring.Base >> 16) & 0x7fff) >= (uint)ring.Size)
                throw new RequestRefusedException($"packed ring {ring.Index} of {ring.Size} entries at base 0x{ring.Base:x}");
        }
        else if (ring.Base > ushort.MaxValue)
        {
            throw new RequestRefusedException($"split ring {ring.Index} at base {ring.Base}");
        }
    }

    /// <summary>Finds a ring's three parts in memory: contiguous, aligned, of the right length.</summary>
    private unsafe bool TryResolve(SessionVring ring, GuestMemoryMap memory, out VirtqueueLayout layout, out string? cause)
    {
        layout = default;
        if (!IsPacked && !BitOperations.IsPow2(ring.Size))
        {
            cause = $"split ring of {ring.Size} entries, which is no power of two";
            return false;
        }

        VringAddress address = ring.Address!.Value;
        (ulong descriptorBytes, ulong driverBytes, ulong deviceBytes) = VirtqueueLayout.Sizes(IsPacked, ring.Size);
        byte* descriptors = FindPart(memory, address.Descriptors, descriptorBytes, 16, writable: IsPacked, "descriptors", out GuestAddress table, out cause);
        byte* driver = descriptors == null ? null
            : FindPart(memory, address.Available, driverBytes, IsPacked ? 4UL : 2UL, writable: false, "available ring", out _, out cause);
        GuestAddress guest = default;
        byte* device = driver == null ? null
            : FindPart(memory, address.Used, deviceBytes, 4, writable: true, "used ring", out guest, out cause);
        if (device == null)
            return false;

        layout = new VirtqueueLayout
        {
            Size = ring.Size,
            Descriptors = descriptors,
            Driver = driver,
            Device = device,
            LogAddress = RingLogAddress(address, guest),
            DescriptorsAddress = table,
            DeviceAddress = guest,
        };
        return true;
    }

    private unsafe byte* FindPart(
        GuestMemoryMap memory, FrontendAddress address, ulong length, ulong alignment, bool writable, string part, out GuestAddress guest, out string? cause)
    {
        cause = null;
        byte* found = _iotlb is null
            ? memory.FindRing(address, length, HasProtocolFeature(ProtocolFeatures.GpaAddresses), out guest)
            : FindThroughIotlb(memory, address, length, writable, out guest);
        if (found == null)
            cause = $"its {part} of {length} bytes at {address} lies in no region";
        else if (address.Value % alignment != 0 || (nuint)found % (nuint)alignment != 0)
            cause = $"its {part} at {address} is not aligned to {alignment} bytes";

        return cause is null ? found : null;
    }
}
