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
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        Require(ProtocolFeatures.Config);

        // libvhost-user, and so qemu-storage-daemon, answers from the start whatever the offset: ask from there.
        int from = offset + size <= MaxConfigSize ? 0 : offset;
        using VhostUserMessage reply = await ExchangeAsync(
            FrontendRequest.GetConfig, ConfigPayload(from, new byte[offset + size - from], 0), [], _options.Timeout, cancellation).ConfigureAwait(false);
        return ParseConfig(reply, from, offset + size - from)[(offset - from)..];
    }

    /// <summary>Writes configuration space for the driver (SET_CONFIG; needs CONFIG).</summary>
    public Task SetConfigAsync(int offset, ReadOnlyMemory<byte> data, CancellationToken cancellation = default)
    {
        Require(ProtocolFeatures.Config);
        return TellAsync(FrontendRequest.SetConfig, ConfigPayload(offset, data.Span, 0), [], cancellation);
    }

    /// <summary>Tells the device status (SET_STATUS; needs STATUS). 0 stops the rings.</summary>
    public Task SetStatusAsync(byte status, CancellationToken cancellation = default)
    {
        Require(ProtocolFeatures.Status);
        return TellAsync(FrontendRequest.SetStatus, new UInt64Payload(status), cancellation);
    }

    /// <summary>Asks for the device status (GET_STATUS; needs STATUS).</summary>
    public async Task<byte> GetStatusAsync(CancellationToken cancellation = default)
    {
        Require(ProtocolFeatures.Status);
        return (byte)await AskAsync(FrontendRequest.GetStatus, cancellation).ConfigureAwait(false);
    }

    /// <summary>Tells a network device its MTU in bytes (NET_SET_MTU; needs MTU).</summary>
    public Task SetMtuAsync(int mtu, CancellationToken cancellation = default)
    {
        Require(ProtocolFeatures.Mtu);
        return TellAsync(FrontendRequest.NetSetMtu, new UInt64Payload((ulong)mtu), cancellation);
    }

    /// <summary>Has a network device announce where its guest is now (SEND_RARP; needs RARP).</summary>
    /// <param name="mac">The guest's six bytes.</param>
    public Task SendRarpAsync(ReadOnlySpan<byte> mac, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(mac.Length, 6);
        Require(ProtocolFeatures.Rarp);
        byte[] payload = new byte[UInt64Payload.WireSize];
        mac.CopyTo(payload);
        return TellAsync(FrontendRequest.SendRarp, payload, [], cancellation);
    }

    /// <summary>Asks for the sizes of the device's shared memory regions, by their id (GET_SHMEM_CONFIG; needs SHMEM_MAP).</summary>
    /// <returns>256 sizes in bytes; 0 where there is no such region.</returns>
    public async Task<ulong[]> GetSharedMemorySizesAsync(CancellationToken cancellation = default)
    {
        Require(ProtocolFeatures.ShmemMap);
        using VhostUserMessage reply = await ExchangeAsync(
            FrontendRequest.GetShmemConfig, ReadOnlyMemory<byte>.Empty, [], _options.Timeout, cancellation).ConfigureAwait(false);
        return Parse(reply);

        static ulong[] Parse(VhostUserMessage reply)
        {
            try
            {
                MessageReader reader = reply.Reader("GET_SHMEM_CONFIG");
                ulong[] sizes = SharedMemoryConfig.Read(ref reader);
                reader.End();
                return sizes;
            }
            catch (ProtocolException e)
            {
                throw WrongAnswer(e);
            }
        }
    }

    /// <summary>Resets the device and stops its rings: RESET_DEVICE, or RESET_OWNER where the back-end is that old.</summary>
    public Task ResetDeviceAsync(CancellationToken cancellation = default)
        => TellAsync(Has(ProtocolFeatures.ResetDevice) ? FrontendRequest.ResetDevice : FrontendRequest.ResetOwner, cancellation);

    /// <summary>Has the back-end make an in-flight region (GET_INFLIGHT_FD; needs INFLIGHT_SHMFD). Dispose it with the guest, not with the session.</summary>
    public async Task<FrontendInflight> GetInflightAsync(int queues, int queueSize, CancellationToken cancellation = default)
    {
        Require(ProtocolFeatures.InflightShmFd);
        var asked = new InflightDescription(0, 0, checked((ushort)queues), checked((ushort)queueSize));
        using VhostUserMessage reply = await ExchangeAsync(
            FrontendRequest.GetInflightFd, Bytes(asked), [], _options.Timeout, cancellation).ConfigureAwait(false);
        InflightDescription made = ReadReply<InflightDescription>(FrontendRequest.GetInflightFd, reply);
        if (reply.Fds.Count != 1 || made.MmapSize == 0)
            throw new FrontendException("the back-end made no in-flight region");

        return new FrontendInflight(reply.Fds.Take(), made.MmapSize, made.MmapOffset, queues, queueSize);
    }

    /// <summary>Hands an in-flight region to the back-end (SET_INFLIGHT_FD), before any ring starts. What it holds is done again.</summary>
    public Task SetInflightAsync(FrontendInflight inflight, CancellationToken cancellation = default)
    {
        Require(ProtocolFeatures.InflightShmFd);
        var description = new InflightDescription(inflight.Size, inflight.Offset, (ushort)inflight.Queues, (ushort)inflight.QueueSize);
        return TellAsync(FrontendRequest.SetInflightFd, description, cancellation, inflight.File);
    }

    /// <summary>Takes the device's own state, with all rings stopped (SET_DEVICE_STATE_FD; needs DEVICE_STATE).</summary>
    /// <param name="limit">Bytes accepted at most.</param>
    public async Task<byte[]> SaveStateAsync(int limit = 16 << 20, CancellationToken cancellation = default)
    {
        Require(ProtocolFeatures.DeviceState);
        (FileDescriptor read, FileDescriptor write) = Pipe();
        FileDescriptor? theirs;
        using (write)
            theirs = await TransferStateAsync(DeviceStateDirection.Save, write, read, cancellation).ConfigureAwait(false);

        byte[] state = await StreamAsync(theirs, writable: false, stream => ReadToEnd(stream, limit), cancellation).ConfigureAwait(false);
        await CheckStateAsync(cancellation).ConfigureAwait(false);
        return state;
    }

    /// <summary>Gives state back to a device, with all rings stopped.</summary>
    public async Task LoadStateAsync(ReadOnlyMemory<byte> state, CancellationToken cancellation = default)
    {
        Require(ProtocolFeatures.DeviceState);
        (FileDescriptor read, FileDescriptor write) = Pipe();
        FileDescriptor theirs;
        using (read)
            theirs = await TransferStateAsync(DeviceStateDirection.Load, read, write, cancellation).ConfigureAwait(false);

        await StreamAsync(theirs, writable: true, stream => Write(stream, state.Span), cancellation).ConfigureAwait(false);
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
            // A refusal has no payload at all, or a size of 0.
            if (reply.Payload.IsEmpty)
                throw new FrontendException($"the back-end has no configuration space at {offset} of {size} bytes");

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
            throw WrongAnswer(e);
        }
    }

    /// <param name="direction">From or to the device.</param>
    /// <param name="theirs">The end of the pipe that the back-end gets; stays the caller's.</param>
    /// <param name="ours">The other end; owned from here on.</param>
    /// <returns>Where to read or write, owned by the caller: our end, or what the back-end sent instead.</returns>
    private async Task<FileDescriptor> TransferStateAsync(
        DeviceStateDirection direction, FileDescriptor theirs, FileDescriptor ours, CancellationToken cancellation)
    {
        try
        {
            byte[] payload = Bytes(new DeviceStateTransfer(direction, DeviceStateTransfer.PhaseStopped));
            using VhostUserMessage reply = await ExchangeAsync(
                FrontendRequest.SetDeviceStateFd, payload, [theirs], _options.Timeout, cancellation).ConfigureAwait(false);
            ulong result = ReadReply<UInt64Payload>(FrontendRequest.SetDeviceStateFd, reply).Value;
            bool sent = (result & DeviceStateTransfer.NoFdReturned) == 0;
            if ((result & 0xff) != 0 || reply.Fds.Count != (sent ? 1 : 0))
                throw new FrontendException($"the back-end refused SET_DEVICE_STATE_FD (0x{result:x} with {reply.Fds.Count} descriptors)");

            if (!sent)
                return ours;

            FileDescriptor instead = reply.Fds.Take();
            ours.Dispose();
            return instead;
        }
        catch
        {
            ours.Dispose();
            throw;
        }
    }

    private async Task CheckStateAsync(CancellationToken cancellation)
    {
        using VhostUserMessage reply = await ExchangeAsync(
            FrontendRequest.CheckDeviceState, ReadOnlyMemory<byte>.Empty, [], _options.DrainTimeout, cancellation).ConfigureAwait(false);
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

    /// <summary>Reads or writes state on a thread that waits, and no longer than a back-end gets for it.</summary>
    private async Task<byte[]> StreamAsync(FileDescriptor file, bool writable, Func<Stream, byte[]> transfer, CancellationToken cancellation)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(_options.DrainTimeout);
        try
        {
            return await Task.Factory.StartNew(
                () =>
                {
                    using (file)
                    using (var stream = new DescriptorStream(file, writable, deadline.Token))
                        return transfer(stream);
                },
                CancellationToken.None,
                TaskCreationOptions.LongRunning,
                TaskScheduler.Default).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new FrontendException($"the back-end did not transfer its state within {_options.DrainTimeout.TotalSeconds:0.#} s");
        }
        catch (SystemCallException e)
        {
            throw new FrontendException($"the device state could not be transferred: {e.Message}", e);
        }
    }

    private static byte[] ReadToEnd(Stream stream, int limit)
    {
        using MemoryStream state = new();
        byte[] buffer = new byte[65536];
        int count;
        while ((count = stream.Read(buffer)) != 0)
        {
            if (state.Length > limit - count)
                throw new FrontendException($"the device state is larger than {limit} bytes");

            state.Write(buffer, 0, count);
        }

        return state.ToArray();
    }

    private static byte[] Write(Stream stream, ReadOnlySpan<byte> state)
    {
        try
        {
            stream.Write(state);
        }
        catch (SystemCallException e) when (e.Error == EPIPE)
        {
            // The device stopped reading: CHECK_DEVICE_STATE says what it thinks.
        }

        return [];
    }
}
