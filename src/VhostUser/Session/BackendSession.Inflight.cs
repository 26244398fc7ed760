using VhostUser.Protocol;
using VhostUser.Queues;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace VhostUser.Session;

/// <content>
/// The in-flight region: a file that the front-end keeps, so that a back-end that takes over from a dead one
/// knows which requests were under way. Under GET_VRING_BASE_INFLIGHT, GET_VRING_BASE leaves in it what the device
/// has let go of (<see cref="VhostUser.Devices.QueueHandler.Suspend"/>); everything else is still waited for.
/// </content>
public sealed partial class BackendSession
{
    private InflightRegion? _inflight;

    private async Task GetInflightFdAsync(InflightDescription asked)
    {
        FileDescriptor? file = null;
        try
        {
            InflightDescription made = asked with { MmapOffset = 0, MmapSize = CheckInflight(asked) };
            file = MemFd.Create("vhost-user-inflight", made.MmapSize, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);

            // Used from now on, and replaced if the front-end sets another (CVE-2020-10726: the previous one goes).
            ReplaceInflight(InflightRegion.Map(file, made, IsPacked));
            await ReplyInflightAsync(made, file).ConfigureAwait(false);
        }
        catch (Exception e) when (e is RequestRefusedException or SystemCallException)
        {
            // A region of no bytes is how this reply says no.
            CountRefusal("GET_INFLIGHT_FD", e.Message);
            await ReplyInflightAsync(asked with { MmapSize = 0 }, null).ConfigureAwait(false);
        }
        finally
        {
            file?.Dispose();
        }
    }

    private Task SetInflightFd(InflightDescription description)
    {
        ulong needed = CheckInflight(description);
        if (description.MmapSize < needed)
            throw new RequestRefusedException($"{description.QueueCount} queues of {description.QueueSize} need {needed} bytes, the region has {description.MmapSize}");

        CheckSealed(_message.Fds.Peek(0), "the in-flight region");
        try
        {
            ReplaceInflight(InflightRegion.Map(_message.Fds.Peek(0), description, IsPacked));
        }
        catch (SystemCallException e)
        {
            throw new RequestRefusedException(e.Message, e);
        }

        return Task.CompletedTask;
    }

    /// <summary>Bounds the two numbers before anything is multiplied, mapped or allocated (CVE-2021-3839).</summary>
    /// <returns>Bytes that the region needs.</returns>
    private ulong CheckInflight(in InflightDescription description)
    {
        if (AnyRingStarted)
            throw new RequestRefusedException("rings run");

        if (_features is null)
            throw new RequestRefusedException("the form of the rings has not been negotiated");

        if (description.QueueCount == 0 || description.QueueCount > _vrings.Length)
            throw new RequestRefusedException($"{description.QueueCount} queues, the device has {_vrings.Length}");

        if (description.QueueSize == 0 || description.QueueSize > Math.Min(_device.MaxQueueSize, MaxSplitRing))
            throw new RequestRefusedException($"queues of {description.QueueSize} entries, at most {_device.MaxQueueSize} are taken");

        return InflightLayout.Sizes(IsPacked, description.QueueCount, description.QueueSize);
    }

    /// <summary>The reply is as long as the request was: some front-ends send the struct, some its fields.</summary>
    private ValueTask ReplyInflightAsync(in InflightDescription description, FileDescriptor? file)
    {
        byte[] payload = new byte[InflightDescription.WireSize];
        var writer = new MessageWriter(payload);
        description.Write(ref writer);
        return ReplyBytesAsync(payload.AsSpan(0, _message.Payload.Length), file is null ? [] : [file]);
    }

    private InflightQueueRegion? InflightOf(SessionVring ring)
    {
        if (_inflight is not { } region)
            return null;

        if (region.IsPacked != IsPacked || ring.Index >= region.QueueCount || ring.Size > region.QueueSize)
            throw new RequestRefusedException($"ring {ring.Index} of {ring.Size} entries does not fit the in-flight region of {region.QueueCount} queues of {region.QueueSize}");

        return region.Queue(ring.Index);
    }

    private void ReplaceInflight(InflightRegion? region)
    {
        _inflight?.Dispose();
        _inflight = region;
    }

    private void DisposeInflight() => ReplaceInflight(null);
}
