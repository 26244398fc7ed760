using Backends.Block.Stores;
using Microsoft.Extensions.Logging.Abstractions;
using VhostUser.Devices;

namespace Backends.Block.Tests.Stores;

/// <summary>A store with a worker thread and a channel, driven from a test one operation at a time.</summary>
internal sealed class StoreProbe : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);
    private readonly VirtqueueWorker _worker;
    private readonly IStoreChannel _channel;

    public StoreProbe(IBlockStore store, bool ioUring = true)
    {
        Store = store;
        _worker = new VirtqueueWorker("test", new WorkerOptions { UseIoUring = ioUring }, NullLogger.Instance);
        _channel = store.OpenChannel(_worker);
    }

    public IBlockStore Store { get; }

    public VirtqueueWorker Worker => _worker;

    public int WorkerThreadId
    {
        get
        {
            int id = 0;
            Assert.True(_worker.InvokeAsync(() => id = Environment.CurrentManagedThreadId).Wait(Deadline));
            return id;
        }
    }

    public IStoreChannel Channel => _channel;

    public int Read(ulong offset, byte[] data, int pieces = 1, bool canPin = true, int misalign = 0)
    {
        using ProbeRequest request = new(data.Length, pieces, misalign) { Pinnable = canPin };
        int error = Run(request.Set(StoreOperation.Read, offset, (ulong)data.Length));
        request.CopyTo(data);
        return error;
    }

    public int Write(ulong offset, byte[] data, int pieces = 1, bool canPin = true, int misalign = 0, bool durable = false)
    {
        using ProbeRequest request = new(data.Length, pieces, misalign) { Pinnable = canPin, IsDurable = durable };
        request.CopyFrom(data);
        return Run(request.Set(StoreOperation.Write, offset, (ulong)data.Length));
    }

    public int Range(StoreOperation operation, ulong offset, ulong length, bool unmap = false, bool durable = false)
    {
        using ProbeRequest request = new(0, 0, 0) { Unmap = unmap, IsDurable = durable };
        return Run(request.Set(operation, offset, length));
    }

    public int Flush() => Range(StoreOperation.Flush, 0, 0);

    /// <summary>Submits all at once on the worker's thread, does something more in the same round, and waits for all.</summary>
    public void RunAll(IReadOnlyList<ProbeRequest> requests, Action? then = null)
    {
        Task submitted = _worker.InvokeAsync(() =>
        {
            foreach (ProbeRequest request in requests)
                _channel.Submit(request);

            then?.Invoke();
        });
        Assert.True(submitted.Wait(Deadline));
        foreach (ProbeRequest request in requests)
            Assert.True(request.Completed.Wait(Deadline), "an operation did not end");
    }

    public void Resume() => Assert.True(_worker.InvokeAsync(_channel.Resume).Wait(Deadline));

    public void Dispose()
    {
        _worker.InvokeAsync(_channel.Dispose).Wait(Deadline);
        _worker.Dispose();
        Store.Dispose();
    }

    private int Run(ProbeRequest request)
    {
        RunAll([request]);
        Assert.Equal(1, request.Completions);
        return request.Completed.Result;
    }
}
