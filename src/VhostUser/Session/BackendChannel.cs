using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using VhostUser.Protocol;
using VhostXen.Linux;

namespace VhostUser.Session;

/// <summary>
/// The other direction: requests of the back-end to the front-end, on the socket of SET_BACKEND_REQ_FD. Anybody
/// posts; one task sends, and waits for the answer where there is one. It never holds up the session, since a
/// front-end may serve this channel only after the session has answered it.
/// </summary>
internal sealed class BackendChannel
{
    private static readonly TimeSpan ReplyDeadline = TimeSpan.FromSeconds(30);

    // A front-end that causes messages and does not read them loses some, instead of filling our memory.
    private const int MostWaiting = 1024;

    private readonly VhostUserSocket _socket;
    private readonly string _device;
    private readonly ILogger _logger;
    private readonly Channel<Outgoing> _outgoing = Channel.CreateBounded<Outgoing>(new BoundedChannelOptions(MostWaiting) { SingleReader = true });
    private readonly CancellationTokenSource _cancel = new();
    private readonly int[] _callsPosted;
    private readonly Task _pump;
    private int _configChangePosted;

    /// <param name="socket">Owned from here on.</param>
    /// <param name="rings">How many rings may call.</param>
    /// <param name="device">Name for the log.</param>
    /// <param name="logger">For the end of the channel.</param>
    public BackendChannel(VhostUserSocket socket, int rings, string device, ILogger logger)
    {
        _socket = socket;
        _device = device;
        _logger = logger;
        _callsPosted = new int[rings];
        _pump = Task.Run(PumpAsync);
    }

    /// <summary>CONFIG_CHANGE_MSG; several before it is sent are one.</summary>
    public void NotifyConfigChange()
    {
        if (Interlocked.Exchange(ref _configChangePosted, 1) == 0)
            Post(BackendRequest.ConfigChangeMsg, [], () => Volatile.Write(ref _configChangePosted, 0));
    }

    /// <summary>VRING_CALL; several before it is sent are one.</summary>
    public void CallRing(int index)
    {
        if (Interlocked.Exchange(ref _callsPosted[index], 1) == 0)
            Post(BackendRequest.VringCall, Bytes(new VringState((uint)index, 0)), () => Volatile.Write(ref _callsPosted[index], 0));
    }

    public void ReportRingError(int index) => Post(BackendRequest.VringErr, Bytes(new VringState((uint)index, 0)), null);

    /// <summary>Asks for the translation of an I/O virtual address.</summary>
    public void AskIotlb(ulong iova, bool write)
    {
        IotlbPermissions permissions = write ? IotlbPermissions.Write : IotlbPermissions.Read;
        Post(BackendRequest.IotlbMsg, Bytes(new IotlbMessage(iova, 0, default, permissions, IotlbType.Miss)), null);
    }

    /// <summary>Sends a request that has an answer.</summary>
    /// <param name="fd">Travels with it; stays the caller's, who keeps it open until the task ends.</param>
    /// <returns>The answer: a status, and a descriptor that the caller owns if one came; null when the channel ended.</returns>
    public async Task<(ulong Status, FileDescriptor? Fd)?> RequestAsync<T>(BackendRequest request, T payload, FileDescriptor? fd)
        where T : struct, IPayload<T>
    {
        var reply = new TaskCompletionSource<(ulong, FileDescriptor?)?>(TaskCreationOptions.RunContinuationsAsynchronously);
        if (!_outgoing.Writer.TryWrite(new Outgoing(request, Bytes(payload), fd, null, reply)))
            return null;

        return await reply.Task.ConfigureAwait(false);
    }

    public async Task CloseAsync()
    {
        _outgoing.Writer.TryComplete();

        // The front-end has a share in the socket and may have made it block: this wakes whoever waits in the kernel.
        _socket.Shutdown();
        await _cancel.CancelAsync().ConfigureAwait(false);
        await _pump.ConfigureAwait(false);
        _cancel.Dispose();
    }

    private static byte[] Bytes<T>(in T payload)
        where T : struct, IPayload<T>
    {
        byte[] bytes = new byte[T.WireSize];
        var writer = new MessageWriter(bytes);
        payload.Write(ref writer);
        return bytes;
    }

    private void Post(BackendRequest request, byte[] payload, Action? sending)
    {
        if (!_outgoing.Writer.TryWrite(new Outgoing(request, payload, null, sending, null)))
            sending?.Invoke();
    }

    private async Task PumpAsync()
    {
        try
        {
            await foreach (Outgoing message in _outgoing.Reader.ReadAllAsync(_cancel.Token).ConfigureAwait(false))
                await SendAsync(message).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_cancel.IsCancellationRequested)
        {
            // The session closes the channel.
        }
        catch (Exception e) when (e is IOException or ProtocolException or OperationCanceledException or System.Net.Sockets.SocketException)
        {
            _logger.ChannelEnded(_device, e.Message);
        }
        finally
        {
            _outgoing.Writer.TryComplete();
            while (_outgoing.Reader.TryRead(out Outgoing? unsent))
                unsent.Reply?.TrySetResult(null);

            _socket.Dispose();
        }
    }

    private async Task SendAsync(Outgoing message)
    {
        message.Sending?.Invoke();
        MessageFlags flags = message.Reply is null ? MessageFlags.None : MessageFlags.NeedReply;
        try
        {
            await _socket.SendAsync((uint)message.Request, flags, message.Payload, message.Fd is null ? [] : [message.Fd], _cancel.Token).ConfigureAwait(false);
            if (message.Reply is not null)
                message.Reply.TrySetResult(await ReceiveReplyAsync(message.Request).ConfigureAwait(false));
        }
        finally
        {
            message.Reply?.TrySetResult(null);
        }
    }

    private async Task<(ulong, FileDescriptor?)?> ReceiveReplyAsync(BackendRequest request)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(_cancel.Token);
        deadline.CancelAfter(ReplyDeadline);
        string name = RequestNames.NameOf(request);
        using VhostUserMessage? reply = await _socket.ReceiveAsync(static _ => UInt64Payload.WireSize, deadline.Token).ConfigureAwait(false);
        if (reply is null)
            throw new ProtocolException(name, "the front-end closed the channel instead of answering");

        if (!reply.Header.IsReply || reply.Header.Request != (uint)request || reply.Fds.Count > 1)
            throw new ProtocolException(name, $"answered by message {reply.Header.Request} with flags 0x{(uint)reply.Header.Flags:x} and {reply.Fds.Count} descriptors");

        ulong status = reply.Read<UInt64Payload>(name).Value;
        return (status, reply.Fds.Count == 1 ? reply.Fds.Take() : null);
    }

    private sealed record Outgoing(
        BackendRequest Request, byte[] Payload, FileDescriptor? Fd, Action? Sending, TaskCompletionSource<(ulong, FileDescriptor?)?>? Reply);
}
