using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using VhostUser.Protocol;
using VhostXen.Linux;
using static VhostUser.Protocol.RequestNames;

namespace VhostUser.Session;

/// <summary>
/// The front-end's side of a vhost-user connection: drives any back-end. Requests are sent one at a time and each
/// waits for its answer; with REPLY_ACK every request has one, so that a refusal is an exception where it happened.
/// The methods may be called from any thread. The back-end is not trusted: it cannot make a caller wait for ever,
/// and what it sends is checked.
/// </summary>
public sealed partial class FrontendSession : IAsyncDisposable
{
    private readonly VhostUserSocket _socket;
    private readonly FrontendOptions _options;
    private readonly ILogger _logger;
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly TaskCompletionSource<Exception?> _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _receiver;
    private Pending? _pending;
    private BackendChannelListener? _channel;

    /// <param name="connection">A connected socket; owned by the session from here on.</param>
    /// <param name="options">What to ask for.</param>
    /// <param name="logger">For what the back-end does by itself.</param>
    public FrontendSession(FileDescriptor connection, FrontendOptions? options = null, ILogger? logger = null)
    {
        _socket = new VhostUserSocket(connection);
        _options = options ?? new FrontendOptions();
        _logger = logger ?? NullLogger.Instance;
        _receiver = ReceiveLoopAsync();
    }

    /// <summary>Virtio features that the back-end offers; after <see cref="NegotiateAsync"/>.</summary>
    public ulong OfferedFeatures { get; private set; }

    /// <summary>Virtio features that were set.</summary>
    public ulong Features { get; private set; }

    /// <summary>Protocol features that both sides have.</summary>
    public ProtocolFeatures Protocol { get; private set; }

    /// <summary>Queues that the back-end has (1 where it does not say).</summary>
    public int QueueCount { get; private set; } = 1;

    /// <summary>Completes when the connection has ended: with null if the back-end hung up, else with what went wrong.</summary>
    public Task<Exception?> Closed => _closed.Task;

    /// <summary>Connects to a back-end that listens on a Unix socket.</summary>
    /// <exception cref="FrontendException">Nobody listens there.</exception>
    public static FrontendSession Connect(string path, FrontendOptions? options = null, ILogger? logger = null)
    {
        try
        {
            return new FrontendSession(FdSocket.Connect(path), options, logger);
        }
        catch (SystemCallException e)
        {
            throw new FrontendException($"cannot connect to '{path}': {e.Message}", e);
        }
    }

    /// <summary>Finds out what the back-end can do, agrees on protocol features, takes ownership, and opens the back-end's channel.</summary>
    public async Task NegotiateAsync(CancellationToken cancellation = default)
    {
        OfferedFeatures = await AskAsync(FrontendRequest.GetFeatures, cancellation).ConfigureAwait(false);
        if ((OfferedFeatures & VirtioFeatures.ProtocolFeatures) != 0)
        {
            var offered = (ProtocolFeatures)await AskAsync(FrontendRequest.GetProtocolFeatures, cancellation).ConfigureAwait(false);
            ProtocolFeatures agreed = offered & _options.WantedProtocol;

            // Notifications as messages stand on two other features.
            if (!agreed.HasFlag(ProtocolFeatures.BackendReq | ProtocolFeatures.ReplyAck) || _options.Handler is null)
                agreed &= ~ProtocolFeatures.InbandNotifications;

            await TellAsync(FrontendRequest.SetProtocolFeatures, new UInt64Payload((ulong)agreed), cancellation).ConfigureAwait(false);
            Protocol = agreed;
        }

        await TellAsync(FrontendRequest.SetOwner, cancellation).ConfigureAwait(false);
        if (Has(ProtocolFeatures.Mq))
        {
            ulong queues = await AskAsync(FrontendRequest.GetQueueNum, cancellation).ConfigureAwait(false);
            if (queues is 0 or > 1024)
                throw new FrontendException($"the back-end claims {queues} queues");

            QueueCount = (int)queues;
        }

        if (Has(ProtocolFeatures.BackendReq) && _options.Handler is { } handler)
            await OpenChannelAsync(handler, cancellation).ConfigureAwait(false);
    }

    /// <summary>Sets virtio features; those that the back-end does not offer are left out.</summary>
    /// <param name="features">What the driver acknowledged.</param>
    public async Task SetFeaturesAsync(ulong features, CancellationToken cancellation = default)
    {
        ulong set = features & OfferedFeatures;
        if (Protocol != ProtocolFeatures.None)
            set |= VirtioFeatures.ProtocolFeatures;

        await TellAsync(FrontendRequest.SetFeatures, new UInt64Payload(set), cancellation).ConfigureAwait(false);
        Features = set;
    }

    /// <summary>True when both sides have a protocol feature.</summary>
    public bool Has(ProtocolFeatures feature) => (Protocol & feature) == feature;

    public async ValueTask DisposeAsync()
    {
        _socket.Shutdown();
        await _receiver.ConfigureAwait(false);
        if (_channel is not null)
            await _channel.DisposeAsync().ConfigureAwait(false);

        _socket.Dispose();
    }

    /// <summary>Messages that need a feature are not sent without it: most back-ends hang up on them.</summary>
    private void Require(ProtocolFeatures feature)
    {
        if (!Has(feature))
            throw new FrontendException($"the protocol feature {feature} has not been negotiated with the back-end");
    }

    private async Task OpenChannelAsync(IBackendRequestHandler handler, CancellationToken cancellation)
    {
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        using (theirs)
        {
            // Negotiated again: the back-end closes its end of the old one when it gets the new one.
            if (_channel is not null)
                await _channel.DisposeAsync().ConfigureAwait(false);

            _channel = new BackendChannelListener(ours, handler, _logger);
            await TellAsync(FrontendRequest.SetBackendReqFd, ReadOnlyMemory<byte>.Empty, [theirs], cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>A request that the protocol answers with a u64.</summary>
    private async Task<ulong> AskAsync(FrontendRequest request, CancellationToken cancellation)
    {
        using VhostUserMessage reply = await ExchangeAsync(request, ReadOnlyMemory<byte>.Empty, [], _options.Timeout, cancellation).ConfigureAwait(false);
        return ReadReply<UInt64Payload>(request, reply).Value;
    }

    private Task TellAsync(FrontendRequest request, CancellationToken cancellation)
        => TellAsync(request, ReadOnlyMemory<byte>.Empty, [], cancellation);

    private Task TellAsync<T>(FrontendRequest request, in T payload, CancellationToken cancellation, params FileDescriptor[] fds)
        where T : struct, IPayload<T>
        => TellAsync(request, Bytes(payload), fds, cancellation);

    /// <summary>
    /// A request that the protocol does not answer. With REPLY_ACK it is acknowledged; without, the answer to a
    /// GET_FEATURES sent behind it says that it has been dealt with, if not how.
    /// </summary>
    private async Task TellAsync(FrontendRequest request, ReadOnlyMemory<byte> payload, IReadOnlyList<FileDescriptor> fds, CancellationToken cancellation)
    {
        // SET_PROTOCOL_FEATURES itself cannot be acknowledged: REPLY_ACK is agreed on only by it.
        bool acknowledged = Has(ProtocolFeatures.ReplyAck);
        await _turn.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            if (!acknowledged)
            {
                using (await ExchangeInTurnAsync(request, FrontendRequest.GetFeatures, payload, fds, _options.Timeout, cancellation).ConfigureAwait(false))
                    return;
            }

            using VhostUserMessage reply = await ExchangeInTurnAsync(request, request, payload, fds, _options.Timeout, cancellation, MessageFlags.NeedReply).ConfigureAwait(false);
            if (ReadReply<UInt64Payload>(request, reply).Value is not 0 and ulong status)
                throw new FrontendException($"the back-end refused {NameOf(request)} (status {status})");
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>A request that the protocol answers.</summary>
    private async Task<VhostUserMessage> ExchangeAsync(
        FrontendRequest request, ReadOnlyMemory<byte> payload, IReadOnlyList<FileDescriptor> fds, TimeSpan timeout, CancellationToken cancellation)
    {
        await _turn.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            return await ExchangeInTurnAsync(request, request, payload, fds, timeout, cancellation).ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task<VhostUserMessage> ExchangeInTurnAsync(
        FrontendRequest request,
        FrontendRequest answered,
        ReadOnlyMemory<byte> payload,
        IReadOnlyList<FileDescriptor> fds,
        TimeSpan timeout,
        CancellationToken cancellation,
        MessageFlags flags = MessageFlags.None)
    {
        var pending = new Pending(request, answered);
        bool taken = false;
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(timeout);
        try
        {
            // A full fence between our request and the end of the connection: partner of the exchange in EndPending.
            Interlocked.Exchange(ref _pending, pending);
            if (_closed.Task.IsCompleted)
                throw Gone(request, _closed.Task.Result);

            await SendAsync(request, flags, payload, fds, deadline.Token).ConfigureAwait(false);
            if (answered != request)
                await SendAsync(answered, MessageFlags.None, ReadOnlyMemory<byte>.Empty, [], deadline.Token).ConfigureAwait(false);

            VhostUserMessage reply = await pending.Reply.Task.WaitAsync(deadline.Token).ConfigureAwait(false);
            taken = true;
            return reply;
        }
        catch (OperationCanceledException)
        {
            // The answer may still come and would be taken for the next one's: the connection is of no more use.
            _socket.Shutdown();
            cancellation.ThrowIfCancellationRequested();
            throw new FrontendException($"the back-end did not answer {NameOf(request)} within {timeout.TotalSeconds:0.#} s");
        }
        finally
        {
            Interlocked.CompareExchange(ref _pending, null, pending);
            if (!taken)
                pending.Abandon();
        }
    }

    private async Task SendAsync(FrontendRequest request, MessageFlags flags, ReadOnlyMemory<byte> payload, IReadOnlyList<FileDescriptor> fds, CancellationToken cancellation)
    {
        try
        {
            await _socket.SendAsync((uint)request, flags, payload.Span, fds, cancellation).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException or ObjectDisposedException)
        {
            throw Gone(request, e);
        }
    }

    private static FrontendException Gone(FrontendRequest request, Exception? cause)
        => cause is null
            ? new FrontendException($"the back-end hung up before {NameOf(request)} was answered")
            : new FrontendException($"{NameOf(request)}: {cause.Message}", cause);

    private static T ReadReply<T>(FrontendRequest request, VhostUserMessage reply)
        where T : struct, IPayload<T>
    {
        try
        {
            return reply.Read<T>(NameOf(request));
        }
        catch (ProtocolException e)
        {
            throw WrongAnswer(e);
        }
    }

    private static FrontendException WrongAnswer(ProtocolException e) => new($"the back-end answered wrongly: {e.Message}", e);

    private static byte[] Bytes<T>(in T payload)
        where T : struct, IPayload<T>
    {
        byte[] bytes = new byte[T.WireSize];
        var writer = new MessageWriter(bytes);
        payload.Write(ref writer);
        return bytes;
    }

    /// <summary>Hands each reply to the request that waits for it; ends with the connection.</summary>
    private async Task ReceiveLoopAsync()
    {
        Exception? cause = null;
        try
        {
            while (await _socket.ReceiveAsync(static _ => VhostUserSocket.MaxPayload, CancellationToken.None).ConfigureAwait(false) is { } message)
            {
                // A request that is answered wrongly stays where EndPending finds it.
                Pending? pending = Volatile.Read(ref _pending);
                if (pending is null || !message.Header.IsReply || message.Header.Request != (uint)pending.Answered)
                {
                    message.Dispose();
                    throw new ProtocolException(NameOf((FrontendRequest)message.Header.Request), "the back-end sent a reply that nobody asked for");
                }

                Interlocked.CompareExchange(ref _pending, null, pending);
                if (!pending.Reply.TrySetResult(message))
                    message.Dispose();
            }
        }
        catch (Exception e) when (e is ProtocolException or IOException or System.Net.Sockets.SocketException or ObjectDisposedException)
        {
            cause = e;
        }

        EndPending(cause);
    }

    private void EndPending(Exception? cause)
    {
        // Nobody reads any more: the back-end should know.
        _socket.Shutdown();
        _closed.TrySetResult(cause);
        if (Interlocked.Exchange(ref _pending, null) is { } waiting)
            waiting.Reply.TrySetException(Gone(waiting.Request, cause));
    }

    /// <param name="request">What was asked.</param>
    /// <param name="answered">The request whose answer ends the wait.</param>
    private sealed class Pending(FrontendRequest request, FrontendRequest answered)
    {
        public FrontendRequest Request { get; } = request;

        public FrontendRequest Answered { get; } = answered;

        public TaskCompletionSource<VhostUserMessage> Reply { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>Nobody waits for the answer any more. One that came before its request was all sent has descriptors to close, too.</summary>
        public void Abandon()
        {
            if (!Reply.TrySetCanceled(CancellationToken.None) && Reply.Task.IsCompletedSuccessfully)
                Reply.Task.Result.Dispose();
        }
    }
}
