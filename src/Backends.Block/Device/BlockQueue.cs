using System.Diagnostics;
using Backends.Block.Stores;
using Microsoft.Extensions.Logging;
using VhostUser.Devices;
using VhostXen.Linux;

namespace Backends.Block.Device;

/// <summary>One queue of a disk: hands its requests to its channel of the store.</summary>
internal sealed class BlockQueue(BlockDevice device, int index, IStoreChannel channel, ILogger logger) : QueueHandler
{
    private static readonly long LogTicks = 10 * Stopwatch.Frequency;
    private long _nextLog;
    private long _unlogged;

    public BlockDevice Device => device;

    public IStoreChannel Channel => channel;

    public BlockCounters Counters { get; } = new();

    /// <summary>Requests of which nothing happens any more may stay in flight.</summary>
    public bool Suspending { get; private set; }

    public override void Process(VirtqueueRequest request)
    {
        if (request.State is not BlockRequest block)
            request.State = block = new BlockRequest(this, request);

        block.Start();
    }

    public override bool OnAvailable(Vring vring)
    {
        channel.Poll();
        return base.OnAvailable(vring);
    }

    public override void Start(ulong features)
    {
        Suspending = false;
        channel.Resume();
    }

    public override void Suspend()
    {
        Suspending = true;
        channel.CallOff();
    }

    public override void Dispose()
    {
        channel.Dispose();
        base.Dispose();
    }

    /// <summary>The host failed: a line at most every ten seconds, since a guest can ask again and again.</summary>
    public void LogHostFailure(StoreOperation operation, ulong offset, ulong length, int error)
    {
        long now = Stopwatch.GetTimestamp();
        if (now < _nextLog)
        {
            _unlogged++;
            return;
        }

        _nextLog = now + LogTicks;
        logger.HostFailed(device.Name, index, operation.ToString(), length, offset, LibC.errno_name(error), _unlogged);
        _unlogged = 0;
    }
}
