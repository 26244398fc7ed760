using Backends.Block.Stores;
using VhostUser.Devices;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Fuzz.Oracles;

/// <summary>
/// A disk in memory that checks every operation before it is done: inside the disk, as many bytes in the buffers as it says,
/// and, at the moment it is done, buffers that are still mapped. With <see cref="Late"/> it is done by a later command of the
/// worker, so that there are requests in flight when things are taken away.
/// </summary>
internal sealed class CheckedStore(ulong length, LiveMemory memory, Complaints complaints) : IBlockStore
{
    private readonly MemoryStore _inner = new(length);

    public volatile bool Late;

    public StoreProperties Properties => _inner.Properties;

    public ulong Length => _inner.Length;

    public bool Refresh() => false;

    public int Flush() => 0;

    public IStoreChannel OpenChannel(VirtqueueWorker worker) => new Channel(this, _inner.OpenChannel(worker), worker);

    public void Dispose() => _inner.Dispose();

    private sealed class Channel : IStoreChannel
    {
        private readonly CheckedStore _store;
        private readonly IStoreChannel _inner;
        private readonly VirtqueueWorker _worker;
        private readonly EventFd _wake = EventFd.Create();
        private readonly Queue<StoreRequest> _late = new();

        public Channel(CheckedStore store, IStoreChannel inner, VirtqueueWorker worker)
        {
            _store = store;
            _inner = inner;
            _worker = worker;
            worker.WatchAsync(_wake.Handle, EPOLLIN, _ => Wake()).GetAwaiter().GetResult();
        }

        public void Submit(StoreRequest request)
        {
            if (_store.Late)
            {
                _late.Enqueue(request);
                _wake.Signal();
                return;
            }

            Execute(request);
        }

        public void Poll()
        {
        }

        public void Dispose()
        {
            // On the worker's thread, whose next round ends the watch.
            _ = _worker.UnwatchAsync(_wake.Handle).ContinueWith(static (_, wake) => ((EventFd)wake!).Dispose(), _wake, TaskScheduler.Default);
            _inner.Dispose();
        }

        private void Wake()
        {
            _wake.Drain();
            for (int i = _late.Count; i > 0; i--)
                Execute(_late.Dequeue());
        }

        private void Execute(StoreRequest request)
        {
            if (Check(request) is { } wrong)
            {
                _store.Complain($"the store is asked to {request.Operation} {wrong}");
                request.OnCompleted(EIO);
                return;
            }

            _inner.Submit(request);
        }

        private string? Check(StoreRequest request)
        {
            if (request.Operation == StoreOperation.Flush)
                return null;

            if (request.Length == 0 || request.Length > _store.Length || request.Offset > _store.Length - request.Length)
                return "outside its size";

            if (request.Operation is not (StoreOperation.Read or StoreOperation.Write))
                return null;

            if (request.Buffers.Length != request.Length)
                return "with buffers of another length";

            return _store.HoldsAll(request) ? null : "with buffers that are not mapped";
        }
    }

    private void Complain(string what) => complaints.Add(what);

    private bool HoldsAll(StoreRequest request) => memory.Holds(request.Buffers.Span);
}
