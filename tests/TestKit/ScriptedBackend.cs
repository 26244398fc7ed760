using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;

namespace TestKit;

/// <summary>A back-end that answers as the test says, request by request: the hostile other side of a <see cref="FrontendSession"/>.</summary>
public sealed class ScriptedBackend : IAsyncDisposable
{
    private readonly FileDescriptor _raw;
    private readonly VhostUserSocket _socket;
    private readonly Dictionary<FrontendRequest, Func<VhostUserMessage, Task>> _answers = [];
    private readonly Task _loop;

    internal ScriptedBackend()
    {
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        _raw = ours.Duplicate();
        _socket = new VhostUserSocket(ours);
        Theirs = theirs;
        _loop = RunAsync();
    }

    /// <summary>The front-end's end of the connection.</summary>
    public FileDescriptor Theirs { get; }

    /// <summary>The latest back-end channel that the front-end opened.</summary>
    internal VhostUserSocket? Channel { get; private set; }

    internal ulong Features { get; set; } = VirtioFeatures.Version1 | VirtioFeatures.ProtocolFeatures;

    internal ProtocolFeatures Protocol { get; set; } = new FrontendOptions().WantedProtocol;

    /// <summary>Answers a request with these bytes as payload, and descriptors.</summary>
    internal void On(FrontendRequest request, byte[] payload, params FileDescriptor[] fds)
        => _answers[request] = message => ReplyAsync(message.Header.Request, payload, fds);

    /// <summary>Does something else instead.</summary>
    internal void On(FrontendRequest request, Func<VhostUserMessage, Task> answer) => _answers[request] = answer;

    internal Task ReplyAsync(uint request, byte[] payload, params FileDescriptor[] fds)
        => _socket.SendAsync(request, MessageFlags.Reply, payload, fds, CancellationToken.None).AsTask();

    /// <summary>Bytes as they are.</summary>
    public void SendRaw(ReadOnlySpan<byte> bytes) => FdSocket.SendWithFds(_raw, bytes, []);

    public void HangUp() => _socket.Shutdown();

    public async ValueTask DisposeAsync()
    {
        _socket.Shutdown();
        await _loop;
        _raw.Dispose();
        _socket.Dispose();
        Channel?.Dispose();
        Theirs.Dispose();
    }

    private async Task RunAsync()
    {
        try
        {
            while (await _socket.ReceiveAsync(static _ => VhostUserSocket.MaxPayload, CancellationToken.None) is { } message)
            {
                using (message)
                    await AnswerAsync(message);
            }
        }
        catch (Exception e) when (e is IOException or ProtocolException or System.Net.Sockets.SocketException)
        {
            // The front-end has had enough.
        }
    }

    private async Task AnswerAsync(VhostUserMessage message)
    {
        var request = (FrontendRequest)message.Header.Request;
        if (_answers.TryGetValue(request, out Func<VhostUserMessage, Task>? answer))
        {
            await answer(message);
            return;
        }

        if (request == FrontendRequest.SetBackendReqFd)
        {
            Channel?.Dispose();
            Channel = new VhostUserSocket(message.Fds.Take());
        }

        ulong? value = request switch
        {
            FrontendRequest.GetFeatures => Features,
            FrontendRequest.GetProtocolFeatures => (ulong)Protocol,
            FrontendRequest.GetQueueNum => 1,
            FrontendRequest.GetStatus => 0,
            _ => message.Header.NeedsReply ? 0 : null,
        };
        if (value is { } number)
            await ReplyAsync(message.Header.Request, BitConverter.GetBytes(number));
    }
}
