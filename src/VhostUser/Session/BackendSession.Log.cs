using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using VhostXen.Linux;

namespace VhostUser.Session;

/// <content>The dirty log of a live migration.</content>
public sealed partial class BackendSession
{
    private DirtyLog? _log;
    private EventFd? _logCall;

    private bool LogsBuffers => (Features & VirtioFeatures.LogAll) != 0;

    private async Task SetLogBaseAsync(string name)
    {
        bool replies = HasProtocolFeature(ProtocolFeatures.LogShmFd);
        try
        {
            await MapLogAsync(name).ConfigureAwait(false);
        }
        catch (Exception e) when (replies && e is RequestRefusedException or GuestMemoryException)
        {
            CountRefusal(name, e.Message);
            await ReplyAsync(UInt64Payload.Failure).ConfigureAwait(false);
            return;
        }

        if (replies)
            await ReplyAsync(UInt64Payload.Success).ConfigureAwait(false);
    }

    private async Task MapLogAsync(string name)
    {
        if (_message.Fds.Count == 0)
            throw new RequestRefusedException("the log comes without a file, and the front-end's own memory cannot be reached");

        LogDescription description = _message.Read<LogDescription>(name);
        CheckSealed(_message.Fds.Peek(0), "the dirty log");
        DirtyLog log = DirtyLog.Map(_message.Fds.Peek(0), description.Offset, description.Size);
        DirtyLog? old = _log;
        try
        {
            foreach (SessionVring ring in _vrings)
                CheckLogCovers(ring, log);

            _log = log;
            await ApplyLogAsync().ConfigureAwait(false);
        }
        catch
        {
            _log = old;
            log.Dispose();
            throw;
        }

        old?.Dispose();
    }

    private Task SetLogFd()
    {
        EventFd? old = _logCall;
        try
        {
            // Signalled when the log is turned over; kept because the front-end may wait on it, and never needed by the bitmap.
            _logCall = EventFd.FromReceived(_message.Fds.Take());
        }
        catch (SystemCallException e)
        {
            throw new RequestRefusedException(e.Message, e);
        }

        old?.Dispose();
        return Task.CompletedTask;
    }

    private async Task ApplyLogAsync()
    {
        foreach (SessionVring ring in _vrings)
            await ApplyLogAsync(ring).ConfigureAwait(false);
    }

    private Task ApplyLogAsync(SessionVring ring)
    {
        if (ring is not { Started: true, Address: not null })
            return Task.CompletedTask;

        // A ring whose translation is missing just now lets go of the old log all the same: it is about to be unmapped.
        GuestAddress? address = TryResolve(ring, _memory, out VirtqueueLayout layout, out _) ? layout.LogAddress : null;
        return ring.Vring.SetLogAsync(_log, LogsBuffers, address);
    }

    /// <summary>Where a ring's own writes are logged. Under an IOMMU the message has an I/O virtual address, so the translated one counts.</summary>
    private GuestAddress? RingLogAddress(in VringAddress address, GuestAddress translated)
        => !address.LogsUsedRing ? null : _iotlb is null ? address.LogGuestAddress : translated;

    /// <summary>
    /// The last byte of what is logged must have a bit (CVE-2019-14835): the used ring where log_guest_addr says. A packed
    /// ring is written in two places, of which the message names one (QEMU the event structure, DPDK the descriptors), so
    /// both are logged and looked for where they are.
    /// </summary>
    private void CheckLogCovers(SessionVring ring, DirtyLog? log)
    {
        if (log is null || ring.Size == 0 || _iotlb is not null || ring.Address is not { LogsUsedRing: true } address)
            return;

        if (!IsPacked)
            Check(address.LogGuestAddress, VirtqueueLayout.Sizes(packed: false, ring.Size).Device);
        else if (_memory != GuestMemoryMap.Empty && TryResolve(ring, _memory, out VirtqueueLayout layout, out _))
            CheckPacked(layout);

        void CheckPacked(in VirtqueueLayout layout)
        {
            (ulong descriptors, _, ulong device) = VirtqueueLayout.Sizes(packed: true, ring.Size);
            Check(layout.DescriptorsAddress!.Value, descriptors);
            Check(layout.DeviceAddress!.Value, device);
        }

        void Check(GuestAddress at, ulong length)
        {
            if (!log.Covers(at, length))
                throw new RequestRefusedException($"ring {ring.Index} is logged at {at}, past the end of the log");
        }
    }

    private void DisposeLog()
    {
        _log?.Dispose();
        _log = null;
        _logCall?.Dispose();
        _logCall = null;
    }
}
