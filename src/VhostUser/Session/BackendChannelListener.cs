using Microsoft.Extensions.Logging;
using VhostUser.Protocol;
using VhostXen.Linux;
using static VhostUser.Protocol.RequestNames;

namespace VhostUser.Session;

/// <summary>The front-end's end of the back-end channel (SET_BACKEND_REQ_FD): a loop that answers what the back-end asks.</summary>
internal sealed class BackendChannelListener : IAsyncDisposable
{
    private readonly VhostUserSocket _socket;
    private readonly IBackendRequestHandler _handler;
    private readonly ILogger _logger;
    private readonly Task _loop;
    private bool _failed;

    public BackendChannelListener(FileDescriptor connection, IBackendRequestHandler handler, ILogger logger)
    {
        _socket = new VhostUserSocket(connection);
        _handler = handler;
        _logger = logger;
        _loop = RunAsync();
    }

    public async ValueTask DisposeAsync()
    {
        _socket.Shutdown();
        await _loop.ConfigureAwait(false);
        _socket.Dispose();
    }

    private async Task RunAsync()
    {
        try
        {
            while (await _socket.ReceiveAsync(static _ => 64, CancellationToken.None).ConfigureAwait(false) is { } message)
            {
                using (message)
                {
                    bool done = TryHandle(message);
                    if (message.Header.NeedsReply)
                    {
                        UInt64Payload status = done ? UInt64Payload.Success : UInt64Payload.Failure;
                        await _socket.SendAsync(message.Header.Request, MessageFlags.Reply, status, null, CancellationToken.None).ConfigureAwait(false);
                    }
                }
            }
        }
        catch (ProtocolException e)
        {
            _logger.BackendChannelBroken(e.Message);
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException or ObjectDisposedException)
        {
            // The back-end has gone; the session itself notices too.
        }
        finally
        {
            // Nobody answers any more: a back-end that waits should know.
            _socket.Shutdown();
        }
    }

    private bool TryHandle(VhostUserMessage message)
    {
        try
        {
            return Handle(message);
        }
        catch (Exception e) when (e is not ProtocolException)
        {
            // The handler is the application's: a request that it cannot do is refused, and the channel goes on.
            // Once: the back-end decides how often it asks.
            if (!_failed)
                _logger.BackendRequestFailed(NameOf((BackendRequest)message.Header.Request), e);

            _failed = true;
            return false;
        }
    }

    private bool Handle(VhostUserMessage message)
    {
        var request = (BackendRequest)message.Header.Request;
        string name = NameOf(request);
        switch (request)
        {
            case BackendRequest.ConfigChangeMsg:
                _handler.ConfigChanged();
                return true;
            case BackendRequest.VringCall:
                _handler.Call((int)Math.Min(message.Read<VringState>(name).Index, int.MaxValue));
                return true;
            case BackendRequest.VringErr:
                _handler.RingError((int)Math.Min(message.Read<VringState>(name).Index, int.MaxValue));
                return true;
            case BackendRequest.IotlbMsg:
                IotlbMessage iotlb = message.Read<IotlbMessage>(name);
                if (iotlb.Type != IotlbType.Miss)
                    return false;

                _handler.IotlbMiss(iotlb.Iova, (iotlb.Permissions & IotlbPermissions.Write) != 0);
                return true;
            case BackendRequest.ShmemMap when message.Fds.Count == 1:
                SharedMemoryMapping map = message.Read<SharedMemoryMapping>(name);
                return _handler.MapSharedMemory(map.RegionId, map.FdOffset, map.RegionOffset, map.Length, map.Writable, message.Fds.Take());
            case BackendRequest.ShmemUnmap:
                SharedMemoryMapping unmap = message.Read<SharedMemoryMapping>(name);
                return _handler.UnmapSharedMemory(unmap.RegionId, unmap.RegionOffset, unmap.Length);
            default:
                _logger.BackendRequestRefused(name);
                return false;
        }
    }
}
