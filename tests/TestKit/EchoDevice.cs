using System.Collections.Concurrent;
using VhostUser.Devices;

namespace TestKit;

/// <summary>
/// A device that copies what it reads to where it may write. <see cref="Hold"/> keeps requests in flight until
/// <see cref="Release"/>. What the session asked of it is in properties.
/// </summary>
public class EchoDevice(int queues = 2) : VirtioDevice
{
    private readonly ConcurrentQueue<VirtqueueRequest> _held = new();
    private readonly byte[] _config = new byte[32];

    public override string Type => "echo";

    public override uint DeviceId { get; } = 42;

    public override int QueueCount => queues;

    public override ulong Features => 0x3;

    public override int ConfigSize => _config.Length;

    public override bool SupportsDeviceState => true;

    public byte[] Config => _config;

    public byte[] State { get; set; } = [];

    public int Resets { get; private set; }

    public ulong NegotiatedFeatures { get; private set; }

    /// <summary>Keep requests until released.</summary>
    public volatile bool Hold;

    public int Held => _held.Count;

    public override void ReadConfig(Span<byte> config) => _config.CopyTo(config);

    public override bool WriteConfig(int offset, ReadOnlySpan<byte> data)
    {
        data.CopyTo(_config.AsSpan(offset));
        return true;
    }

    public override void SetFeatures(ulong features) => NegotiatedFeatures = features;

    public override void Reset() => Resets++;

    public override void SaveState(Stream state) => state.Write(State);

    public override void LoadState(Stream state)
    {
        var buffer = new MemoryStream();
        state.CopyTo(buffer);
        State = buffer.ToArray();
    }

    /// <summary>Completes what is held, from the calling thread.</summary>
    public void Release()
    {
        Hold = false;
        while (_held.TryDequeue(out VirtqueueRequest? request))
            request.CompleteFromAnyThread(Echo(request));
    }

    /// <summary>Let go of what is held, and of nothing else, when the front-end allows it.</summary>
    public volatile bool Suspends;

    /// <summary>Requests let go of.</summary>
    public int Suspended { get; private set; }

    /// <summary>Says that the configuration changed.</summary>
    public void ChangeConfig() => NotifyConfigChanged();

    /// <summary>The channel to the front-end, for tests.</summary>
    public IFrontendChannel? Channel => Frontend;

    public override QueueHandler CreateHandler(VirtqueueWorker worker, int queueIndex) => new Handler(this);

    private static uint Echo(VirtqueueRequest request)
    {
        byte[] data = new byte[request.ReadableLength];
        request.CopyFrom(0, data);
        return (uint)request.CopyTo(0, data);
    }

    private sealed class Handler(EchoDevice device) : QueueHandler
    {
        public override void Process(VirtqueueRequest request)
        {
            if (device.Hold)
                device._held.Enqueue(request);
            else
                request.Complete(Echo(request));
        }

        public override void Suspend()
        {
            while (device.Suspends && device._held.TryDequeue(out VirtqueueRequest? request))
            {
                request.Suspend();
                device.Suspended++;
            }
        }
    }
}
