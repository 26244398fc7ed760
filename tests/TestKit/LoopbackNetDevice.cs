using VhostUser.Devices;

namespace TestKit;

/// <summary>A network device of one queue pair that gives every frame back: what comes out of queue 1 goes into queue 0.</summary>
public sealed class LoopbackNetDevice : VirtioDevice
{
    private const int Receive = 0;
    private const int MaxFrame = 65536 + HeaderSize;

    /// <summary>struct virtio_net_hdr with num_buffers (virtio 1.3, 5.1.6).</summary>
    private const int HeaderSize = 12;

    // One worker runs both queues: no locks.
    private readonly Queue<VirtqueueRequest> _empty = new();
    private readonly byte[] _frame = new byte[MaxFrame];
    private long _looped;

    public override string Type => "net";

    public override uint DeviceId => 1;

    public override int QueueCount => 2;

    /// <summary>Front-ends want the number of pairs.</summary>
    public override int ReportedQueueCount => 1;

    /// <summary>VIRTIO_NET_F_MRG_RXBUF.</summary>
    public override ulong Features => 1UL << 15;

    public ulong NegotiatedFeatures { get; private set; }

    /// <summary>Frames that were given back.</summary>
    public long Looped => Volatile.Read(ref _looped);

    /// <summary>Completes when so many have been.</summary>
    public TaskCompletionSource Reached { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>How many frames <see cref="Reached"/> waits for.</summary>
    public required long Goal { get; init; }

    public override void SetFeatures(ulong features) => NegotiatedFeatures = features;

    public override QueueHandler CreateHandler(VirtqueueWorker worker, int queueIndex)
        => queueIndex == Receive ? new ReceiveHandler(this) : new TransmitHandler(this);

    private void Loop(VirtqueueRequest sent)
    {
        int length = sent.CopyFrom(0, _frame.AsSpan(0, (int)Math.Min(sent.ReadableLength, MaxFrame)));
        sent.Complete(0);
        if (!_empty.TryDequeue(out VirtqueueRequest? empty))
            return;

        // num_buffers: the frame fits one chain.
        _frame[HeaderSize - 2] = 1;
        _frame[HeaderSize - 1] = 0;
        empty.Complete((uint)empty.CopyTo(0, _frame.AsSpan(0, length)));
        if (++_looped == Goal)
            Reached.TrySetResult();
    }

    private sealed class TransmitHandler(LoopbackNetDevice device) : QueueHandler
    {
        public override void Process(VirtqueueRequest request) => device.Loop(request);
    }

    private sealed class ReceiveHandler(LoopbackNetDevice device) : QueueHandler
    {
        public override void Process(VirtqueueRequest request) => device._empty.Enqueue(request);

        public override void Stop()
        {
            while (device._empty.TryDequeue(out VirtqueueRequest? request))
                request.Complete(0);
        }
    }
}
