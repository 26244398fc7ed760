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
        _turn.Dispose();
    }

    private async Task OpenChannelAsync(IBackendRequestHandler handler, CancellationToken cancellation)
    {
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        using (theirs)
        {
            _channel = new BackendChannelListener(ours, handler, _logger);
            await TellAsync(FrontendRequest.SetBackendReqFd, ReadOnlyMemory<byte>.Empty, [theirs], cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>A request that the protocol answers with a u64.</summary>
    private async Task<ulong> AskAsync(FrontendRequest request, CancellationToken cancellation)
    {
        using VhostUserMessage reply = await ExchangeAsync(request, ReadOnlyMemory<byte>.Empty, [], expectsReply: true, _options.Timeout, cancellation).ConfigureAwait(false);
        return ReadReply<UInt64Payload>(request, reply).Value;
    }

    private Task TellAsync(FrontendRequest request, CancellationToken cancellation)
        => TellAsync(request, ReadOnlyMemory<byte>.Empty, [], cancellation);

    private Task TellAsync<T>(FrontendRequest request, in T payload, CancellationToken cancellation, params FileDescriptor[] fds)
        where T : struct, IPayload<T>
        => TellAsync(request, Bytes(payload), fds, cancellation);

    /// <summary>A request that the protocol does not answer: acknowledged where REPLY_ACK is negotiated.</summary>
    private async Task TellAsync(FrontendRequest request, ReadOnlyMemory<byte> payload, IReadOnlyList<FileDescriptor> fds, CancellationToken cancellation)
    {
        using VhostUserMessage? reply = await ExchangeOrSendAsync(request, payload, fds, cancellation).ConfigureAwait(false);
        if (reply is not null && ReadReply<UInt64Payload>(request, reply).Value is not 0 and ulong status)
            throw new FrontendException($"the back-end refused {NameOf(request)} (status {status})");
    }

    private async Task<VhostUserMessage?> ExchangeOrSendAsync(
        FrontendRequest request, ReadOnlyMemory<byte> payload, IReadOnlyList<FileDescriptor> fds, CancellationToken cancellation)
    {
        // SET_PROTOCOL_FEATURES itself cannot be acknowledged: REPLY_ACK is agreed on only by it.
        if (Has(ProtocolFeatures.ReplyAck))
            return await ExchangeAsync(request, payload, fds, expectsReply: false, _options.Timeout, cancellation).ConfigureAwait(false);

        await _turn.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            await SendAsync(request, MessageFlags.None, payload, fds, cancellation).ConfigureAwait(false);
            return null;
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task<VhostUserMessage> ExchangeAsync(
        FrontendRequest request,
        ReadOnlyMemory<byte> payload,
        IReadOnlyList<FileDescriptor> fds,
        bool expectsReply,
        TimeSpan timeout,
        CancellationToken cancellation)
    {
        await _turn.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            var pending = new Pending(request);
            Volatile.Write(ref _pending, pending);
            if (_closed.Task.IsCompleted)
                throw Gone(request, _closed.Task.Result);

            await SendAsync(request, expectsReply ? MessageFlags.None : MessageFlags.NeedReply, payload, fds, cancellation).ConfigureAwait(false);
            try
            {
                return await pending.Reply.Task.WaitAsync(timeout, cancellation).ConfigureAwait(false);
            }
            catch (Exception e) when (e is TimeoutException or OperationCanceledException)
            {
                // The answer may still come and would be taken for the next one's: the connection is of no more use.
                _socket.Shutdown();
                if (e is TimeoutException)
                    throw new FrontendException($"the back-end did not answer {NameOf(request)} within {timeout.TotalSeconds:0.#} s");

                throw;
            }
        }
        finally
        {
            Volatile.Write(ref _pending, null);
            _turn.Release();
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
            throw new FrontendException($"the back-end answered wrongly: {e.Message}", e);
        }
    }

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
                Pending? pending = Interlocked.Exchange(ref _pending, null);
                if (pending is null || !message.Header.IsReply || message.Header.Request != (uint)pending.Request)
                {
                    message.Dispose();
                    throw new ProtocolException(NameOf((FrontendRequest)message.Header.Request), "the back-end sent a reply that nobody asked for");
                }

                if (!pending.Reply.TrySetResult(message))
                    message.Dispose();
            }
        }
        catch (Exception e) when (e is ProtocolException or IOException or System.Net.Sockets.SocketException or ObjectDisposedException)
        {
            cause = e;
        }

        _closed.TrySetResult(cause);
        Pending? waiting = Volatile.Read(ref _pending);
        waiting?.Reply.TrySetException(Gone(waiting.Request, cause));
    }

    private sealed class Pending(FrontendRequest request)
    {
        public FrontendRequest Request { get; } = request;

        public TaskCompletionSource<VhostUserMessage> Reply { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
