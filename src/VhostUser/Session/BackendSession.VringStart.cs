using System.Numerics;
using VhostUser.Devices;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;

namespace VhostUser.Session;

/// <content>Starting a ring, going on with one, and finding its parts in memory.</content>
public sealed partial class BackendSession
{
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
        CheckLogCovers(ring, _log);
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
