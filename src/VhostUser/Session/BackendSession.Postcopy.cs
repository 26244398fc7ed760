using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;

namespace VhostUser.Session;

/// <content>
/// Post-copy migration. ADVISE hands out a userfaultfd; after LISTEN the memory table is answered with where we
/// mapped each region, the front-end confirms that it serves faults there, and only then are the ranges registered.
/// </content>
public sealed partial class BackendSession
{
    private static readonly TimeSpan HangUpInterval = TimeSpan.FromMilliseconds(100);
    private readonly List<GuestMemoryRegion> _unregistered = [];
    private UserFaults? _postcopy;

    private async Task PostcopyAdviseAsync()
    {
        if (_postcopy is not null)
            throw new RequestRefusedException("a post-copy migration is under way");

        try
        {
            _postcopy = UserFaults.Open();
        }
        catch (SystemCallException e)
        {
            throw new RequestRefusedException(e.Message, e);
        }

        await ReplyBytesAsync([], _postcopy.File).ConfigureAwait(false);
    }

    private Task PostcopyListen()
    {
        if (_postcopy is null)
            throw new ProtocolException("POSTCOPY_LISTEN", "before POSTCOPY_ADVISE");

        if (_memory.Regions.Length != 0)
            throw new RequestRefusedException("memory has been shared already");

        _postcopy.Listening = true;
        return Task.CompletedTask;
    }

    private async Task PostcopyEndAsync()
    {
        EndPostcopy();
        await ReplyAsync(UInt64Payload.Success).ConfigureAwait(false);
    }

    private void EndPostcopy() => Interlocked.Exchange(ref _postcopy, null)?.Dispose();

    private async Task SharePostcopyTableAsync(MemoryRegion[] regions, GuestMemoryMap map, bool xen)
    {
        MemoryRegion[] answer = [.. regions.Select(region => WithOurAddress(region, Find(map, region)))];
        byte[] payload = new byte[MemoryTable.TableSize(answer.Length, xen)];
        var writer = new MessageWriter(payload);
        MemoryTable.Write(ref writer, answer, xen);
        await ReplyBytesAsync(payload).ConfigureAwait(false);

        await ReceivePostcopyAckAsync().ConfigureAwait(false);
        foreach (GuestMemoryRegion region in map.Regions)
            RegisterFaults(region);
    }

    private async Task SharePostcopyRegionAsync(MemoryRegion region, GuestMemoryRegion added, bool xen)
    {
        await ReplyBytesAsync(Single(WithOurAddress(region, added), xen)).ConfigureAwait(false);
        _unregistered.Add(added);

        static byte[] Single(MemoryRegion answer, bool xen)
        {
            byte[] payload = new byte[MemoryTable.SingleSize(xen)];
            var writer = new MessageWriter(payload);
            MemoryTable.WriteSingle(ref writer, answer, xen);
            return payload;
        }
    }

    /// <summary>Regions that are added one by one are confirmed once, after the last, by ADD_MEM_REG with a u64 of 0.</summary>
    private void RegisterAdded(string name)
    {
        if (_message.Fds.Count != 0 || _message.Read<UInt64Payload>(name).Value != 0)
            throw new ProtocolException(name, "the front-end did not confirm the post-copy addresses");

        foreach (GuestMemoryRegion region in _unregistered)
            RegisterFaults(region);

        _unregistered.Clear();
    }

    private static GuestMemoryRegion Find(GuestMemoryMap map, MemoryRegion region)
        => map.Regions.First(mapped => mapped.Start == region.GuestAddress.Value);

    private static unsafe MemoryRegion WithOurAddress(in MemoryRegion region, GuestMemoryRegion mapped)
        => region with { UserAddress = new FrontendAddress((ulong)mapped.Mapping.Pointer) };

    /// <summary>The front-end repeats the message with a u64 of 0 once it is ready for faults.</summary>
    private async Task ReceivePostcopyAckAsync()
    {
        string name = RequestNames.NameOf((FrontendRequest)_message.Header.Request);
        using VhostUserMessage? ack = await _socket.ReceiveAsync(static _ => UInt64Payload.WireSize, _cancellation).ConfigureAwait(false);
        if (ack is null || ack.Header.Request != _message.Header.Request || ack.Fds.Count != 0 || ack.Read<UInt64Payload>(name).Value != 0)
            throw new ProtocolException(name, "the front-end did not confirm the post-copy addresses");
    }

    private unsafe void RegisterFaults(GuestMemoryRegion region)
    {
        if (!region.MappedInAdvance)
            return;

        UserFaults faults = _postcopy ?? throw new ProtocolException("SET_MEM_TABLE", "the front-end left during post-copy");
        try
        {
            faults.Register(region.Mapping.Pointer, region.Size);
        }
        catch (SystemCallException e)
        {
            // The reply has gone out: there is no way left to refuse.
            throw new ProtocolException("SET_MEM_TABLE", $"post-copy of the region at {region.Description.GuestAddress} is impossible: {e.Message}");
        }
    }

    /// <summary>
    /// Waits for something that may depend on the front-end filling pages or closing a pipe, and notices when it
    /// has gone: nobody will do it then.
    /// </summary>
    private async Task WhileConnectedAsync(Task task, Action hungUp)
    {
        while (await Task.WhenAny(task, Task.Delay(HangUpInterval, CancellationToken.None)).ConfigureAwait(false) != task)
        {
            if (_socket.IsHungUp || _cancellation.IsCancellationRequested)
                hungUp();
        }

        await task.ConfigureAwait(false);
    }
}
