using Microsoft.Extensions.Logging;
using VhostUser.Devices;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostXen.Linux;

namespace VhostUser.Session;

/// <summary>
/// One front-end's connection to a device, from accept to hang-up: receives a message, asks whether it is legal
/// now, does it, answers. It owns everything that the front-end sent (descriptors, mappings) and has given it
/// all back when <see cref="RunAsync"/> returns; the device then serves the next session.
/// </summary>
public sealed partial class BackendSession
{
    // A front-end that is refused over and over fills a counter, not the log.
    private const int MaxRefusalsLogged = 16;

    private readonly VhostUserSocket _socket;
    private readonly DeviceInstance _instance;
    private readonly VirtioDevice _device;
    private readonly IGuestMemoryProvider _provider;
    private readonly SessionOptions _options;
    private readonly ILogger _logger;
    private readonly SessionVring[] _vrings;

    private CancellationToken _cancellation;
    private VhostUserMessage _message = null!;
    private bool _answered;
    private long _refusals;

    /// <param name="connection">The connected socket; owned by the session from here on.</param>
    /// <param name="instance">The device. No other session may be using it.</param>
    /// <param name="provider">Makes guest memory reachable.</param>
    /// <param name="options">What to offer.</param>
    /// <param name="logger">For events of the session.</param>
    public BackendSession(FileDescriptor connection, DeviceInstance instance, IGuestMemoryProvider provider, SessionOptions options, ILogger logger)
    {
        _socket = new VhostUserSocket(connection);
        _instance = instance;
        _device = instance.Device;
        _provider = provider;
        _options = options;
        _logger = logger;
        _vrings = [.. instance.Vrings.Select(static vring => new SessionVring(vring))];
        _breaksAtReset = Breaks;
    }

    private string Name => _instance.Name;

    /// <summary>
    /// Serves the front-end until it hangs up, breaks the protocol, or the token is cancelled. Returns once every
    /// ring is stopped with its requests given back and everything the front-end sent is closed and unmapped.
    /// </summary>
    /// <param name="cancellation">Ends the session early.</param>
    public async Task RunAsync(CancellationToken cancellation)
    {
        _cancellation = cancellation;
        _logger.Connected(Name);
        _device.OnConfigChanged(OnConfigChanged);
        try
        {
            await ServeAsync().ConfigureAwait(false);
            _logger.Disconnected(Name);
        }
        catch (ProtocolException e)
        {
            _logger.ProtocolBroken(Name, e.Message);
        }
        catch (DeviceHungException)
        {
            _logger.Hung(Name, _options.StopTimeout.TotalSeconds);
        }
        catch (IOException e)
        {
            _logger.ConnectionFailed(Name, e.Message);
        }
        catch (System.Net.Sockets.SocketException e)
        {
            _logger.ConnectionFailed(Name, e.Message);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            _logger.Disconnected(Name);
        }
        catch (Exception e)
        {
            // A device's hook threw, or this library has a bug: this session pays, the daemon lives.
            _logger.Failed(Name, e);
        }
        finally
        {
            await CleanUpAsync().ConfigureAwait(false);
        }
    }

    private async Task ServeAsync()
    {
        while (await _socket.ReceiveAsync(PayloadLimit, _cancellation).ConfigureAwait(false) is { } message)
        {
            using (message)
            {
                _message = message;
                _answered = false;
                await HandleAsync((FrontendRequest)message.Header.Request).ConfigureAwait(false);
            }
        }
    }

    private static int PayloadLimit(MessageHeader header)
        => RequestShape.Of((FrontendRequest)header.Request)?.MaxPayload ?? VhostUserSocket.MaxPayload;

    /// <summary>One message: checked against its shape, done, acknowledged if it asks for that and has no reply of its own.</summary>
    private async Task HandleAsync(FrontendRequest request)
    {
        string name = RequestNames.NameOf(request);
        MessageHeader header = _message.Header;
        _logger.Received(Name, name, header.Size, _message.Fds.Count);
        if (header.IsReply)
            throw new ProtocolException(name, "it is marked as a reply, and nothing was asked");

        ulong status = 0;
        try
        {
            // Unknown messages are refused and their descriptors closed; the next message is in step all the same.
            RequestShape shape = RequestShape.Of(request) ?? throw new RequestRefusedException("this message is not known");
            CheckShape(name, shape);
            await WhileServedAsync(DispatchAsync(request, name)).ConfigureAwait(false);
        }
        catch (Exception e) when (e is RequestRefusedException or GuestMemoryException)
        {
            if (!_answered && RequestShape.Of(request) is { AlwaysReplies: true })
                throw new ProtocolException(name, $"{e.Message}; its reply has no way to say so");

            CountRefusal(name, e.Message);
            status = 1;
        }

        if (header.NeedsReply && !_answered)
            await ReplyAsync(new UInt64Payload(status)).ConfigureAwait(false);
    }

    private void CheckShape(string name, in RequestShape shape)
    {
        if (_message.Header.Size < (uint)shape.MinPayload)
            throw new ProtocolException(name, $"payload of {_message.Header.Size} bytes, at least {shape.MinPayload} are expected");

        int fds = _message.Fds.Count;
        if (fds < shape.MinFds || fds > shape.MaxFds)
        {
            throw new ProtocolException(name, shape.MinFds == shape.MaxFds
                ? $"{fds} descriptors, {shape.MinFds} expected"
                : $"{fds} descriptors, {shape.MinFds} to {shape.MaxFds} expected");
        }

        if ((shape.Needs & ~_protocolFeatures) != 0)
            throw new ProtocolException(name, $"protocol feature {shape.Needs} has not been negotiated");
    }

    private ValueTask ReplyAsync<T>(in T payload, FileDescriptor? fd = null)
        where T : struct, IPayload<T>
    {
        Answer();
        return _socket.SendAsync(_message.Header.Request, MessageFlags.Reply, payload, fd, _cancellation);
    }

    private ValueTask ReplyBytesAsync(ReadOnlySpan<byte> payload, params IReadOnlyList<FileDescriptor> fds)
    {
        Answer();
        return _socket.SendAsync(_message.Header.Request, MessageFlags.Reply, payload, fds, _cancellation);
    }

    /// <summary>A front-end that has its answer may count on descriptors that were not kept being closed.</summary>
    private void Answer()
    {
        _answered = true;
        _message.Fds.Dispose();
    }

    /// <summary>The ring a message is about.</summary>
    /// <param name="index">As it came from the wire: compared before it is narrowed (CVE-2020-10723).</param>
    private SessionVring Ring(uint index)
        => index < (uint)_vrings.Length
            ? _vrings[(int)index]
            : throw new RequestRefusedException($"ring {index}, the device has {_vrings.Length}");

    private void CountRefusal(string name, string cause)
    {
        if (_refusals++ < MaxRefusalsLogged)
            _logger.Refused(Name, name, cause);
    }

    private async Task CleanUpAsync()
    {
        _device.OnConfigChanged(null);
        if (_refusals > MaxRefusalsLogged)
            _logger.RefusedMore(Name, _refusals - MaxRefusalsLogged);

        // Order: faults are resolved by nobody any more, so their file goes first and wakes the workers that wait in
        // them; then the rings, with what is in flight; then what the rings used.
        FreeWorkers();
        await CleanUpStepAsync(EndUnfinishedAsync).ConfigureAwait(false);
        await CleanUpStepAsync(StopForGoodAsync).ConfigureAwait(false);
        await CleanUpStepAsync(EndDeviceStateAsync).ConfigureAwait(false);
        await CleanUpStepAsync(CloseChannelAsync).ConfigureAwait(false);
        foreach (SessionVring ring in _vrings)
            ring.Dispose();

        DisposeInflight();
        DisposeLog();
        DisposeMemory();
        _socket.Dispose();
    }

    private async Task CleanUpStepAsync(Func<Task> step)
    {
        try
        {
            await step().ConfigureAwait(false);
        }
        catch (Exception e)
        {
            _logger.CleanUpFailed(Name, e);
        }
    }
}
