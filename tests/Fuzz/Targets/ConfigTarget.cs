using Backends.Block.Device;
using Backends.Block.Stores;
using Fuzz.Engine;
using Fuzz.Oracles;
using TestKit;
using VhostUser.Devices;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;

namespace Fuzz.Targets;

/// <summary>
/// GET_CONFIG and SET_CONFIG with any offset, size, flags and bytes: an answer is a piece of the space as it was at the
/// start, and of that only writeback ever changes, only to what was written there and only when that was accepted.
/// </summary>
internal sealed class ConfigTarget : FuzzTarget
{
    private const int Window = 256;

    // What one message may carry; the specification has 256, newer front-ends ask for more.
    private const int Most = 4096;
    private const int Writeback = 32;
    private readonly (Complaints Complaints, DeviceInstance Instance)[] _disks = [Make(false), Make(true)];
    private FuzzInput _input = new([]);
    private Behaviour _seen = new();

    public override void Run(FuzzInput input, Behaviour seen)
    {
        _input = input;
        _seen = seen;
        (Complaints complaints, DeviceInstance instance) = _disks[input.Below(2)];
        complaints.Listen(seen);
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        var served = new BackendSession(ours, instance, new SharedFileProvider(), new SessionOptions(), complaints);
        Task session = Task.Run(() => served.RunAsync(CancellationToken.None));
        using (var frontend = new RawFrontend(theirs))
            Rig.Wait(Talk(frontend));

        Rig.Wait(session);
        complaints.ThrowIfAny();
    }

    public override void Dispose()
    {
        foreach ((_, DeviceInstance instance) in _disks)
            Rig.Wait(instance.DisposeAsync().AsTask());
    }

    private static (Complaints Complaints, DeviceInstance Instance) Make(bool readOnly)
    {
        var complaints = new Complaints();
        var disk = new BlockDevice(new MemoryStore(1 << 20), new BlockDeviceOptions { Queues = 2, QueueSize = 64, ReadOnly = readOnly }, complaints);
        return (complaints, Rig.Wait(DeviceInstance.StartAsync("fuzz", disk, 1, new WorkerOptions { UseIoUring = false }, complaints)));
    }

    private async Task Talk(RawFrontend frontend)
    {
        await frontend.NegotiateAsync(RawFrontend.PlainFeatures | (_input.Flip() ? BlockFeatures.ConfigWce : 0) | (_input.Flip() ? BlockFeatures.Flush : 0));
        byte[] space = await ReadAllAsync(frontend);
        FindingException.Require(space.AsSpan(60).IndexOfAnyExcept((byte)0) < 0 && space[Writeback] <= 1, "the space holds something behind its end");
        FindingException.Require(BitConverter.ToUInt64(space) == (1 << 20) / 512, "the capacity is another one");
        for (int step = 0; step < 24 && !(step > 0 && _input.IsAtEnd); step++)
        {
            bool lives = _input.Flip() ? await SetAsync(frontend, space) : await GetAsync(frontend, space);
            if (!lives)
            {
                _seen.Saw("the session is over");
                return;
            }
        }

        await ExpectAsync(frontend, space);
    }

    private static async Task ExpectAsync(RawFrontend frontend, byte[] space)
    {
        byte[] now = await ReadAllAsync(frontend);
        int differs = now.AsSpan().CommonPrefixLength(space);
        FindingException.Require(differs == Window, $"byte {differs} of the space is another one");
    }

    private static async Task<byte[]> ReadAllAsync(RawFrontend frontend)
    {
        frontend.Send(FrontendRequest.GetConfig, Message(0, Window, 0, new byte[Window]));
        using VhostUserMessage reply = await frontend.ReceiveAsync(FrontendRequest.GetConfig);
        FindingException.Require(reply.Payload.Length == ConfigDescription.WireSize + Window, "the whole space cannot be read");
        return reply.Payload[ConfigDescription.WireSize..].ToArray();
    }

    private static byte[] Message(uint offset, uint size, uint flags, byte[] data)
        => [.. BitConverter.GetBytes(offset), .. BitConverter.GetBytes(size), .. BitConverter.GetBytes(flags), .. data];

    /// <summary>Offset and size that fit, mostly, and bytes that may be another number of them.</summary>
    private (uint Offset, uint Size, uint Flags, int Bytes) Shape(int around)
    {
        uint size = _input.Number32(_input.Pick<uint>(1, 1, 2, 8, 60, 256, 4096));
        uint offset = _input.Flip() ? _input.Number32((uint)around) : _input.Number32(_input.Byte());
        uint flags = _input.Number32((uint)_input.Below(3));
        return (offset, size, flags, _input.OneIn(12) ? _input.Below(300) : (int)Math.Min(size, Most));
    }

    private async Task<bool> GetAsync(RawFrontend frontend, byte[] space)
    {
        (uint offset, uint size, uint flags, int bytes) = Shape(0);
        if (_input.OneIn(6))
            bytes = 0;

        frontend.Send(FrontendRequest.GetConfig, Message(offset, size, flags, _input.Take(bytes)));
        if (bytes != 0 && bytes != Math.Min(size, Most))
            return await IsStillThereAsync(frontend);

        using VhostUserMessage reply = await frontend.ReceiveAsync(FrontendRequest.GetConfig);
        bool right = size != 0 && size <= Most && offset <= Most - size && flags <= 2;
        FindingException.Require(right == reply.Payload.Length > 0, $"{size} bytes at {offset} with flags {flags} are answered by {reply.Payload.Length} bytes");
        _seen.Saw(right ? "read" : "not read");
        if (!right)
            return true;

        byte[] expected = Message(offset, size, flags, new byte[size]);
        if (offset < Window)
            space.AsSpan((int)offset, (int)Math.Min(size, Window - offset)).CopyTo(expected.AsSpan(ConfigDescription.WireSize));

        FindingException.Require(reply.Payload.Span.SequenceEqual(expected), "an answer says something else");
        return true;
    }

    private async Task<bool> SetAsync(RawFrontend frontend, byte[] space)
    {
        (uint offset, uint size, uint flags, int bytes) = Shape(Writeback);
        byte[] data = _input.Take(bytes);
        if (!_input.OneIn(3) && offset < Window)
        {
            // A front-end that hands the space back, with one byte in it that may be another.
            space.AsSpan((int)offset, Math.Min(bytes, Window - (int)offset)).CopyTo(data);
            if (offset <= Writeback && Writeback < offset + bytes)
                data[Writeback - (int)offset] = _input.OneIn(4) ? _input.Byte() : (byte)_input.Below(2);
        }

        frontend.Send(FrontendRequest.SetConfig, Message(offset, size, flags, data), needReply: true);
        if (data.Length != size)
            return await IsStillThereAsync(frontend);

        bool taken = await frontend.ReceiveStatusAsync(FrontendRequest.SetConfig) == 0;
        byte[] asked = [.. space];
        bool inside = flags <= 2 && size != 0 && offset < 60 && size <= 60 - offset;
        if (inside)
            data.CopyTo(asked, offset);

        bool right = inside && offset <= Writeback && Writeback < offset + size && asked[Writeback] <= 1;
        for (int i = 0; i < Window; i++)
            right &= i == Writeback || asked[i] == space[i];

        FindingException.Require(right == taken, $"{size} bytes written at {offset} with flags {flags} are {(taken ? "taken" : "refused")}");
        _seen.Saw($"{(taken ? "written" : "not written")} {(size == 1 ? "alone" : "with others")}");
        if (taken)
            space[Writeback] = asked[Writeback];

        await ExpectAsync(frontend, space);
        return true;
    }

    /// <summary>After a message that contradicts itself: hung up, or refused and nothing changed.</summary>
    private static async Task<bool> IsStillThereAsync(RawFrontend frontend)
    {
        FindingException.Require(await frontend.IsHungUpOnAsync(), "a message whose size is another one is dealt with");
        return false;
    }
}
