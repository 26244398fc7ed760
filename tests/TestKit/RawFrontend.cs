using VhostUser.Protocol;
using VhostXen.Linux;

namespace TestKit;

/// <summary>
/// A front-end that does what it is told and nothing else: sends any bytes with any descriptors, and waits for
/// answers with a deadline. The steps of a well-behaved one are in RawFrontend.Steps.cs.
/// </summary>
public sealed partial class RawFrontend : IDisposable
{
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);
    private readonly FileDescriptor _raw;
    private readonly VhostUserSocket _socket;

    internal RawFrontend(FileDescriptor socket)
    {
        _raw = socket.Duplicate();
        _socket = new VhostUserSocket(socket);
    }

    /// <summary>Bytes as they are.</summary>
    public nint SendRaw(ReadOnlySpan<byte> bytes, params ReadOnlySpan<FileDescriptor> fds)
    {
        int[] numbers = new int[fds.Length];
        for (int i = 0; i < fds.Length; i++)
            numbers[i] = fds[i].Value;

        return FdSocket.SendWithFds(_raw, bytes, numbers);
    }

    /// <summary>A message with a header that fits.</summary>
    internal void Send(FrontendRequest request, ReadOnlySpan<byte> payload, bool needReply = false, params ReadOnlySpan<FileDescriptor> fds)
    {
        byte[] message = new byte[MessageHeader.WireSize + payload.Length];
        MessageFlags flags = MessageFlags.Version1 | (needReply ? MessageFlags.NeedReply : 0);
        new MessageHeader((uint)request, flags, (uint)payload.Length).Write(message);
        payload.CopyTo(message.AsSpan(MessageHeader.WireSize));
        SendRaw(message, fds);
    }

    internal void Send<T>(FrontendRequest request, T payload, bool needReply = false, params ReadOnlySpan<FileDescriptor> fds)
        where T : struct, IPayload<T>
        => Send(request, Bytes(payload), needReply, fds);

    /// <summary>Sends with NEED_REPLY and gives the status: 0 for done.</summary>
    internal async Task<ulong> AskAsync<T>(FrontendRequest request, T payload, params FileDescriptor[] fds)
        where T : struct, IPayload<T>
    {
        Send(request, payload, needReply: true, fds);
        return await ReceiveStatusAsync(request);
    }

    internal async Task<ulong> AskAsync(FrontendRequest request, byte[] payload, params FileDescriptor[] fds)
    {
        Send(request, payload, needReply: true, fds);
        return await ReceiveStatusAsync(request);
    }

    internal async Task<ulong> GetAsync(FrontendRequest request)
    {
        Send(request, []);
        return await ReceiveStatusAsync(request);
    }

    internal async Task<ulong> ReceiveStatusAsync(FrontendRequest request)
    {
        using VhostUserMessage reply = await ReceiveAsync(request);
        return reply.Read<UInt64Payload>(request.ToString()).Value;
    }

    /// <summary>The next message, which must answer the request.</summary>
    internal async Task<VhostUserMessage> ReceiveAsync(FrontendRequest request)
    {
        using var deadline = new CancellationTokenSource(Deadline);
        VhostUserMessage reply = await _socket.ReceiveAsync(static _ => VhostUserSocket.MaxPayload, deadline.Token)
            ?? throw new EndOfStreamException($"the back-end hung up instead of answering {request}");
        if (reply.Header.Request != (uint)request || !reply.Header.IsReply)
            throw new InvalidDataException($"{request} was answered by {reply.Header}");

        return reply;
    }

    /// <summary>Whether the back-end hangs up, without another answer, before the deadline.</summary>
    public async Task<bool> IsHungUpOnAsync()
    {
        using var deadline = new CancellationTokenSource(Deadline);
        try
        {
            using VhostUserMessage? message = await _socket.ReceiveAsync(static _ => VhostUserSocket.MaxPayload, deadline.Token);
            return message is null;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>Hangs up.</summary>
    public void Dispose()
    {
        _raw.Dispose();
        _socket.Dispose();
    }

    internal static byte[] Bytes<T>(T payload)
        where T : struct, IPayload<T>
    {
        byte[] bytes = new byte[T.WireSize];
        var writer = new MessageWriter(bytes);
        payload.Write(ref writer);
        return bytes;
    }
}
