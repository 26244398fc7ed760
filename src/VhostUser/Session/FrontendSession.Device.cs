using VhostUser.Protocol;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace VhostUser.Session;

/// <content>The device: configuration space, status, in-flight requests, state.</content>
public sealed partial class FrontendSession
{
    /// <summary>Largest part of a configuration space that one message carries (VHOST_USER_MAX_CONFIG_SIZE).</summary>
    public const int MaxConfigSize = 256;

    /// <summary>Reads configuration space (GET_CONFIG; needs CONFIG).</summary>
    /// <param name="offset">Bytes into it.</param>
    /// <param name="size">Bytes, up to <see cref="MaxConfigSize"/>.</param>
    /// <exception cref="FrontendException">The back-end has no such part.</exception>
    public async Task<byte[]> GetConfigAsync(int offset, int size, CancellationToken cancellation = default)
    {
        byte[] payload = ConfigPayload(offset, new byte[size], 0);
        using VhostUserMessage reply = await ExchangeAsync(
            FrontendRequest.GetConfig, payload, [], expectsReply: true, _options.Timeout, cancellation).ConfigureAwait(false);
        return ParseConfig(reply, offset, size);
    }

    /// <summary>Writes configuration space for the driver (SET_CONFIG; needs CONFIG).</summary>
    public Task SetConfigAsync(int offset, ReadOnlyMemory<byte> data, CancellationToken cancellation = default)
        => TellAsync(FrontendRequest.SetConfig, ConfigPayload(offset, data.Span, 0), [], cancellation);

    /// <summary>Tells the device status (SET_STATUS; needs STATUS). 0 stops the rings.</summary>
    public Task SetStatusAsync(byte status, CancellationToken cancellation = default)
        => TellAsync(FrontendRequest.SetStatus, new UInt64Payload(status), cancellation);

    /// <summary>Asks for the device status (GET_STATUS; needs STATUS).</summary>
    public async Task<byte> GetStatusAsync(CancellationToken cancellation = default)
        => (byte)await AskAsync(FrontendRequest.GetStatus, cancellation).ConfigureAwait(false);

    /// <summary>Resets the device and stops its rings: RESET_DEVICE, or RESET_OWNER where the back-end is that old.</summary>
    public Task ResetDeviceAsync(CancellationToken cancellation = default)
        => TellAsync(Has(ProtocolFeatures.ResetDevice) ? FrontendRequest.ResetDevice : FrontendRequest.ResetOwner, cancellation);

    /// <summary>Has the back-end make an in-flight region (GET_INFLIGHT_FD; needs INFLIGHT_SHMFD). Dispose it with the guest, not with the session.</summary>
    public async Task<FrontendInflight> GetInflightAsync(int queues, int queueSize, CancellationToken cancellation = default)
    {
        var asked = new InflightDescription(0, 0, checked((ushort)queues), checked((ushort)queueSize));
        using VhostUserMessage reply = await ExchangeAsync(
            FrontendRequest.GetInflightFd, Bytes(asked), [], expectsReply: true, _options.Timeout, cancellation).ConfigureAwait(false);
        InflightDescription made = ReadReply<InflightDescription>(FrontendRequest.GetInflightFd, reply);
        if (reply.Fds.Count != 1 || made.MmapSize == 0)
            throw new FrontendException("the back-end made no in-flight region");

        return new FrontendInflight(reply.Fds.Take(), made.MmapSize, made.MmapOffset, queues, queueSize);
    }

    /// <summary>Hands an in-flight region to the back-end (SET_INFLIGHT_FD), before any ring starts. What it holds is done again.</summary>
    public Task SetInflightAsync(FrontendInflight inflight, CancellationToken cancellation = default)
    {
        var description = new InflightDescription(inflight.Size, inflight.Offset, (ushort)inflight.Queues, (ushort)inflight.QueueSize);
        return TellAsync(FrontendRequest.SetInflightFd, description, cancellation, inflight.File);
    }

    /// <summary>Takes the device's own state, with all rings stopped (SET_DEVICE_STATE_FD; needs DEVICE_STATE).</summary>
    /// <param name="limit">Bytes accepted at most.</param>
    public async Task<byte[]> SaveStateAsync(int limit = 16 << 20, CancellationToken cancellation = default)
    {
        (FileDescriptor read, FileDescriptor write) = Pipe();
        using (read)
        {
            using (write)
                await TransferStateAsync(DeviceStateDirection.Save, write, cancellation).ConfigureAwait(false);

            byte[] state = await ReadToEndAsync(read, limit, cancellation).ConfigureAwait(false);
            await CheckStateAsync(cancellation).ConfigureAwait(false);
            return state;
        }
    }

    /// <summary>Gives state back to a device, with all rings stopped.</summary>
    public async Task LoadStateAsync(ReadOnlyMemory<byte> state, CancellationToken cancellation = default)
    {
        (FileDescriptor read, FileDescriptor write) = Pipe();
        using (write)
        {
            using (read)
                await TransferStateAsync(DeviceStateDirection.Load, read, cancellation).ConfigureAwait(false);

            await WriteAllAsync(write, state, cancellation).ConfigureAwait(false);
        }

        await CheckStateAsync(cancellation).ConfigureAwait(false);
    }

    private static byte[] ConfigPayload(int offset, ReadOnlySpan<byte> data, uint flags)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(data.Length, MaxConfigSize);
        byte[] payload = new byte[ConfigDescription.WireSize + data.Length];
        var writer = new MessageWriter(payload);
        new ConfigDescription((uint)offset, (uint)data.Length, flags).Write(ref writer);
        writer.WriteBytes(data);
        return payload;
    }

    private static byte[] ParseConfig(VhostUserMessage reply, int offset, int size)
    {
        try
        {
            MessageReader reader = reply.Reader("GET_CONFIG");
            ConfigDescription description = reader.ReadPayload<ConfigDescription>();
            if (description.Size == 0)
                throw new FrontendException($"the back-end has no configuration space at {offset} of {size} bytes");

            if (description.Size != (uint)size || description.Offset != (uint)offset)
                throw new FrontendException($"GET_CONFIG of {size} bytes at {offset} was answered with {description.Size} at {description.Offset}");

            byte[] data = reader.ReadBytes(size).ToArray();
            reader.End();
            return data;
        }
        catch (ProtocolException e)
        {
            throw new FrontendException($"the back-end answered wrongly: {e.Message}", e);
        }
    }

    private async Task TransferStateAsync(DeviceStateDirection direction, FileDescriptor pipe, CancellationToken cancellation)
    {
        byte[] payload = Bytes(new DeviceStateTransfer(direction, DeviceStateTransfer.PhaseStopped));
        using VhostUserMessage reply = await ExchangeAsync(
            FrontendRequest.SetDeviceStateFd, payload, [pipe], expectsReply: true, _options.Timeout, cancellation).ConfigureAwait(false);
        ulong result = ReadReply<UInt64Payload>(FrontendRequest.SetDeviceStateFd, reply).Value;
        if ((result & 0xff) != 0 || (result & DeviceStateTransfer.NoFdReturned) == 0)
            throw new FrontendException($"the back-end refused SET_DEVICE_STATE_FD (0x{result:x})");
    }

    private async Task CheckStateAsync(CancellationToken cancellation)
    {
        using VhostUserMessage reply = await ExchangeAsync(
            FrontendRequest.CheckDeviceState, ReadOnlyMemory<byte>.Empty, [], expectsReply: true, _options.DrainTimeout, cancellation).ConfigureAwait(false);
        if (ReadReply<UInt64Payload>(FrontendRequest.CheckDeviceState, reply).Value is not 0 and ulong status)
            throw new FrontendException($"the device state could not be transferred (status {status})");
    }

    private static unsafe (FileDescriptor Read, FileDescriptor Write) Pipe()
    {
        int* ends = stackalloc int[2];
        if (pipe2(ends, O_CLOEXEC) != 0)
            throw SystemCallException.FromErrno("pipe2");

        return (new FileDescriptor(ends[0]), new FileDescriptor(ends[1]));
    }

    private async Task<byte[]> ReadToEndAsync(FileDescriptor pipe, int limit, CancellationToken cancellation)
    {
        using FileStream stream = PipeStream(pipe, FileAccess.Read);
        using MemoryStream state = new();
        byte[] buffer = new byte[65536];
        int count;
        while ((count = await stream.ReadAsync(buffer, cancellation).AsTask().WaitAsync(_options.DrainTimeout, cancellation).ConfigureAwait(false)) != 0)
        {
            if (state.Length > limit - count)
                throw new FrontendException($"the device state is larger than {limit} bytes");

            state.Write(buffer, 0, count);
        }

        return state.ToArray();
    }

    private async Task WriteAllAsync(FileDescriptor pipe, ReadOnlyMemory<byte> state, CancellationToken cancellation)
    {
        using FileStream stream = PipeStream(pipe, FileAccess.Write);
        try
        {
            await stream.WriteAsync(state, cancellation).AsTask().WaitAsync(_options.DrainTimeout, cancellation).ConfigureAwait(false);
        }
        catch (IOException)
        {
            // The device stopped reading: CHECK_DEVICE_STATE says what it thinks.
        }
    }

    private static FileStream PipeStream(FileDescriptor pipe, FileAccess access)
        => new(new Microsoft.Win32.SafeHandles.SafeFileHandle(pipe.Value, ownsHandle: false), access, bufferSize: 0);
}
