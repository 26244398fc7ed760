using Fuzz.Engine;
using VhostUser.Devices;
using VhostXen.Linux;

namespace Fuzz.Oracles;

/// <summary>A device between the library and the real one, which looks at every request: its buffers lie in memory that is mapped.</summary>
internal sealed class CheckedDevice(VirtioDevice inner, LiveMemory memory, Complaints complaints) : VirtioDevice
{
    public override string Type => inner.Type;

    public override uint DeviceId => inner.DeviceId;

    public override int QueueCount => inner.QueueCount;

    public override int MaxQueueSize => inner.MaxQueueSize;

    public override ulong Features => inner.Features;

    public override int ConfigSize => inner.ConfigSize;

    /// <summary>The real device has no state; this one has some, so that its messages do something.</summary>
    public override bool SupportsDeviceState => true;

    public override bool SharesObjects => true;

    public override IReadOnlyList<ulong> SharedMemorySizes { get; } = [4096, 0, 1 << 20];

    /// <summary>Sees a request before the device does.</summary>
    public Action<VirtqueueRequest>? Taken { get; set; }

    public override void ReadConfig(Span<byte> config) => inner.ReadConfig(config);

    public override bool WriteConfig(int offset, ReadOnlySpan<byte> data)
    {
        FindingException.Require(offset >= 0 && offset <= ConfigSize && data.Length <= ConfigSize - offset, "configuration written outside its space");
        return inner.WriteConfig(offset, data);
    }

    public override void SetFeatures(ulong features) => inner.SetFeatures(features);

    public override void Reset() => inner.Reset();

    public override void SaveState(Stream state) => state.Write(new byte[100_000]);

    public override void LoadState(Stream state)
    {
        byte[] some = new byte[4096];
        while (state.Read(some) != 0)
        {
            // To its end, as devices do; a front-end may send one that has none.
        }
    }

    public override QueueHandler CreateHandler(VirtqueueWorker worker, int queueIndex)
        => new Handler(this, inner.CreateHandler(worker, queueIndex));

    public override void Dispose()
    {
        inner.Dispose();
        base.Dispose();
    }

    public void ChangeConfig() => NotifyConfigChanged();

    private void Check(VirtqueueRequest request)
    {
        Taken?.Invoke(request);
        if (!memory.Holds(request.Readable) || !memory.Holds(request.Writable))
            complaints.Add("a request has buffers outside memory that is mapped");

        if (Sum(request.Readable) != request.ReadableLength || Sum(request.Writable) != request.WritableLength)
            complaints.Add("a request says another length than its buffers have");

        static ulong Sum(ReadOnlySpan<iovec> buffers)
        {
            ulong sum = 0;
            foreach (ref readonly iovec buffer in buffers)
                sum += buffer.iov_len;

            return sum;
        }
    }

    private sealed class Handler(CheckedDevice device, QueueHandler inner) : QueueHandler
    {
        public override void Process(VirtqueueRequest request)
        {
            device.Check(request);
            inner.Process(request);
        }

        public override void EndOfBatch() => inner.EndOfBatch();

        public override void Start(ulong features) => inner.Start(features);

        public override void Stop() => inner.Stop();

        public override void Dispose()
        {
            inner.Dispose();
            base.Dispose();
        }
    }
}
