using VhostUser.Devices;
using VhostUser.Protocol;
using VhostXen.Linux;

namespace VhostUser.Session;

/// <content>The channel to the front-end, and what devices ask through it.</content>
public sealed partial class BackendSession
{
    private readonly Dictionary<Guid, FileDescriptor> _sharedObjects = [];
    private volatile BackendChannel? _channel;
    private int _configChanged;

    private async Task SetBackendReqFdAsync()
    {
        BackendChannel? old = _channel;
        VhostUserSocket socket = TakeChannel();
        _channel = new BackendChannel(socket, _vrings.Length, Name, _logger);
        _device.SetFrontend(HasProtocolFeature(ProtocolFeatures.ReplyAck) ? new DeviceChannel(this) : null);
        if (old is not null)
            await old.CloseAsync().ConfigureAwait(false);
    }

    private VhostUserSocket TakeChannel()
    {
        VhostUserSocket? socket = null;
        try
        {
            socket = new VhostUserSocket(_message.Fds.Take());

            // The front-end's end of a session's own socket would keep that session alive with nobody behind it. Who made
            // the other end of such a socket is this process, or the one that handed it down - not the front-end.
            int maker = socket.PeerProcess;
            if (maker == _socket.PeerProcess || (maker != LibC.getpid() && maker != LibC.getppid()))
                return socket;
        }
        catch (Exception e) when (e is System.Net.Sockets.SocketException or SystemCallException or ArgumentException)
        {
            socket?.Dispose();
            throw new RequestRefusedException($"the descriptor is no socket: {e.Message}", e);
        }

        socket.Dispose();
        throw new RequestRefusedException("the descriptor is an end of a session's own socket");
    }

    private async Task CloseChannelAsync()
    {
        _device.SetFrontend(null);
        BackendChannel? channel = _channel;
        _channel = null;
        if (channel is not null)
            await channel.CloseAsync().ConfigureAwait(false);

        lock (_sharedObjects)
        {
            foreach (FileDescriptor file in _sharedObjects.Values)
                file.Dispose();

            _sharedObjects.Clear();
        }
    }

    /// <summary>The device's configuration changed; any thread. A suspended back-end sends nothing, so it waits for a ring to start.</summary>
    private void OnConfigChanged()
    {
        // A full fence, whose partner is the exchange after a ring has been marked as started.
        Interlocked.Exchange(ref _configChanged, 1);
        if (AnyRingStarted)
            FlushConfigChange();
    }

    private void FlushConfigChange()
    {
        if (_channel is { } channel && HasProtocolFeature(ProtocolFeatures.Config) && Interlocked.Exchange(ref _configChanged, 0) == 1)
            channel.NotifyConfigChange();
    }

    private async Task GetSharedObjectAsync(SharedObjectId id)
    {
        FileDescriptor? file;
        lock (_sharedObjects)
            file = _sharedObjects.TryGetValue(id.Value, out FileDescriptor? found) ? found.Duplicate() : null;

        using (file)
            await ReplyAsync(id, file).ConfigureAwait(false);
    }

    private async Task GetShmemConfigAsync()
    {
        byte[] payload = new byte[SharedMemoryConfig.WireSize];
        Fill(payload, [.. _device.SharedMemorySizes]);
        await ReplyBytesAsync(payload).ConfigureAwait(false);

        static void Fill(byte[] payload, ulong[] sizes)
        {
            var writer = new MessageWriter(payload);
            SharedMemoryConfig.Write(ref writer, sizes);
        }
    }

    /// <summary>What the device sees of this session.</summary>
    private sealed class DeviceChannel(BackendSession session) : IFrontendChannel
    {
        public async Task<bool> MapSharedMemoryAsync(byte region, FileDescriptor file, ulong fileOffset, ulong regionOffset, ulong length, bool writable)
            => session.HasProtocolFeature(ProtocolFeatures.ShmemMap)
                && await AskAsync(BackendRequest.ShmemMap, new SharedMemoryMapping(region, fileOffset, regionOffset, length, writable), file).ConfigureAwait(false);

        public async Task<bool> UnmapSharedMemoryAsync(byte region, ulong regionOffset, ulong length)
            => session.HasProtocolFeature(ProtocolFeatures.ShmemMap)
                && await AskAsync(BackendRequest.ShmemUnmap, new SharedMemoryMapping(region, 0, regionOffset, length, false), null).ConfigureAwait(false);

        public async Task<bool> ShareObjectAsync(Guid id, FileDescriptor file)
        {
            if (!session.HasProtocolFeature(ProtocolFeatures.SharedObject) || session._channel is null)
                return false;

            lock (session._sharedObjects)
            {
                if (!session._sharedObjects.TryAdd(id, file.Duplicate()))
                    return false;
            }

            if (await AskAsync(BackendRequest.SharedObjectAdd, new SharedObjectId(id), null).ConfigureAwait(false))
                return true;

            Forget(id);
            return false;
        }

        public async Task<bool> UnshareObjectAsync(Guid id)
        {
            Forget(id);
            return session.HasProtocolFeature(ProtocolFeatures.SharedObject)
                && await AskAsync(BackendRequest.SharedObjectRemove, new SharedObjectId(id), null).ConfigureAwait(false);
        }

        public async Task<FileDescriptor?> LookUpObjectAsync(Guid id)
        {
            if (!session.HasProtocolFeature(ProtocolFeatures.SharedObject) || session._channel is not { } channel)
                return null;

            return (await channel.RequestAsync(BackendRequest.SharedObjectLookup, new SharedObjectId(id), null).ConfigureAwait(false))?.Fd;
        }

        private async Task<bool> AskAsync<T>(BackendRequest request, T payload, FileDescriptor? fd)
            where T : struct, IPayload<T>
        {
            if (session._channel is not { } channel || (fd is not null && !session.HasProtocolFeature(ProtocolFeatures.BackendSendFd)))
                return false;

            (ulong Status, FileDescriptor? Fd)? reply = await channel.RequestAsync(request, payload, fd).ConfigureAwait(false);
            reply?.Fd?.Dispose();
            return reply is { Status: 0 };
        }

        private void Forget(Guid id)
        {
            lock (session._sharedObjects)
            {
                if (session._sharedObjects.Remove(id, out FileDescriptor? file))
                    file.Dispose();
            }
        }
    }
}
