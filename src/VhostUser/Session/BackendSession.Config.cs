using VhostUser.Protocol;

namespace VhostUser.Session;

/// <content>Configuration space and the network device's two messages.</content>
public sealed partial class BackendSession
{
    private async Task GetConfigAsync(string name)
    {
        byte[]? reply = ReadConfig(name);

        // An empty payload is how this reply says no.
        await ReplyBytesAsync(reply ?? []).ConfigureAwait(false);
    }

    private byte[]? ReadConfig(string name)
    {
        MessageReader reader = _message.Reader(name);
        ConfigDescription asked = reader.ReadPayload<ConfigDescription>();

        // The bytes that follow are room for the answer; some front-ends leave them out.
        if (reader.Remaining != 0)
            reader.Skip((int)Math.Min(asked.Size, (uint)RequestShape.ConfigWindow));

        reader.End();
        if (asked.Flags > 2 || asked.Size == 0 || asked.Size > RequestShape.ConfigWindow || asked.Offset > RequestShape.ConfigWindow - asked.Size)
        {
            CountRefusal(name, $"{asked.Size} bytes at {asked.Offset} with flags {asked.Flags}");
            return null;
        }

        // Front-ends ask for 256 bytes whatever the device has: zeroes past its end.
        byte[] space = new byte[RequestShape.ConfigWindow];
        _device.ReadConfig(space.AsSpan(0, _device.ConfigSize));
        byte[] reply = new byte[ConfigDescription.WireSize + (int)asked.Size];
        var writer = new MessageWriter(reply);
        asked.Write(ref writer);
        writer.WriteBytes(space.AsSpan((int)asked.Offset, (int)asked.Size));
        return reply;
    }

    private Task SetConfig(string name)
    {
        MessageReader reader = _message.Reader(name);
        ConfigDescription asked = reader.ReadPayload<ConfigDescription>();
        if (asked.Size != (uint)reader.Remaining)
            throw new ProtocolException(name, $"says {asked.Size} bytes and has {reader.Remaining}");

        ReadOnlySpan<byte> data = reader.ReadBytes((int)asked.Size);
        if (asked.Flags > 2)
            throw new RequestRefusedException($"flags {asked.Flags}");

        if (asked.Size == 0 || asked.Offset > (uint)_device.ConfigSize || asked.Size > (uint)_device.ConfigSize - asked.Offset)
            throw new RequestRefusedException($"{asked.Size} bytes at {asked.Offset} do not lie inside a configuration space of {_device.ConfigSize}");

        if (!_device.WriteConfig((int)asked.Offset, data))
            throw new RequestRefusedException($"nothing writable in {asked.Size} bytes at {asked.Offset}");

        return Task.CompletedTask;
    }

    private Task SendRarp()
    {
        // The MAC is the first six bytes of the u64.
        if (!_device.SendRarp(_message.Payload.Span[..6]))
            throw new RequestRefusedException("the device announces nothing");

        return Task.CompletedTask;
    }

    private Task NetSetMtu(ulong mtu)
    {
        // 68 is the least that IPv4 allows (virtio 1.3, 5.1.4.1).
        if (mtu is < 68 or > ushort.MaxValue)
            throw new RequestRefusedException($"an MTU of {mtu}");

        if (!_device.SetMtu((ushort)mtu))
            throw new RequestRefusedException($"the device does not take an MTU of {mtu}");

        return Task.CompletedTask;
    }

    private Task GpuSetSocket()
    {
        if (!_device.SetGpuSocket(_message.Fds.Peek(0)))
            throw new RequestRefusedException("the device is no GPU");

        return Task.CompletedTask;
    }
}
