using System.Diagnostics;
using VhostUser.Devices;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace Backends.Block.Stores;

/// <summary>
/// Decides which way an operation on a file goes: at once on the worker's thread where it will not block (page cache),
/// else through the worker's io_uring, else on a blocking thread.
/// </summary>
internal sealed unsafe class FileChannel : IStoreChannel
{
    private const ulong PageMask = 4095;

    // A write to the page cache takes microseconds, unless the kernel makes the writer wait for dirty pages. Then the
    // next ones go to io_uring for a while: the worker has other queues to serve.
    private static readonly long StallTicks = Stopwatch.Frequency / 500;
    private static readonly long StallTicksPerMiB = Stopwatch.Frequency / 500;
    private static readonly long PauseTicks = Stopwatch.Frequency / 10;

    private readonly FileStore _store;
    private readonly VirtqueueWorker _worker;
    private readonly BounceBuffers _bounces = new();
    private readonly Stack<FileOperation> _free = new();
    private readonly List<FileOperation> _all = [];
    private readonly CancelTarget _cancel = new();
    private readonly Queue<FileOperation> _wantBounce = new();
    private readonly EventFd _wake = EventFd.Create();
    private FileOperation? _ended;
    private long _inlineWritesAgain;

    public FileChannel(FileStore store, VirtqueueWorker worker)
    {
        _store = store;
        _worker = worker;
        worker.WatchAsync(_wake.Handle, EPOLLIN, OnWake).GetAwaiter().GetResult();
    }

    /// <summary>What comes back from the kernel undone is not issued again.</summary>
    public bool CallingOff { get; private set; }

    public void CallOff()
    {
        CallingOff = true;
        while (_wantBounce.TryDequeue(out FileOperation? waiting))
            waiting.CallOff();

        foreach (FileOperation operation in _store.Threads.TakeBack(this))
            operation.CallOff();

        // Those that the kernel has begun and cannot stop end as they would have.
        foreach (FileOperation operation in _all)
        {
            if (operation is { RingData: { } target, MayCallOff: true } && _worker.TryGetSqe(_cancel, out io_uring_sqe* sqe, out ulong userData))
                IoUringSqe.Cancel(sqe, target, userData);
        }
    }

    public void Resume() => CallingOff = false;

    public void Submit(StoreRequest request)
    {
        if (request.Operation == StoreOperation.Flush && _store.Properties.ReadOnly)
        {
            request.OnCompleted(0);
            return;
        }

        ulong done = 0;
        if (!_store.IsDirect && request.Buffers.Count <= IOV_MAX)
        {
            bool ended = request.Operation switch
            {
                StoreOperation.Read => TryRead(request, out done),
                StoreOperation.Write => TryWrite(request, out done),
                _ => false,
            };
            if (ended)
                return;
        }

        Begin(request, done);
    }

    public void Poll()
    {
        if (Volatile.Read(ref _ended) is null)
            return;

        FileOperation? operation = Interlocked.Exchange(ref _ended, null);
        while (operation is not null)
        {
            FileOperation? next = operation.Next;
            operation.Next = null;
            Finish(operation);
            operation = next;
        }
    }

    public void Dispose()
    {
        // On the worker's thread: the watch ends with its next round of commands, and only then may the descriptor go.
        _ = _worker.UnwatchAsync(_wake.Handle).ContinueWith(
            static (_, wake) => ((EventFd)wake!).Dispose(), _wake, TaskScheduler.Default);
        _bounces.Dispose();
    }

    /// <summary>Makes an operation's next call.</summary>
    public void Issue(FileOperation operation)
    {
        if (operation.FitsRing && _worker.TryGetSqe(operation, out io_uring_sqe* sqe, out ulong userData))
            operation.Fill(sqe, userData);
        else
            IssueOnThread(operation);
    }

    public void IssueOnThread(FileOperation operation) => _store.Threads.Run(operation);

    /// <summary>An operation ended on this thread.</summary>
    public void Finish(FileOperation operation)
    {
        StoreRequest request = operation.Request;
        int error = operation.Error;
        if (operation.Bounce is { } bounce)
        {
            operation.Bounce = null;
            _bounces.Return(bounce);
        }

        _free.Push(operation);
        request.OnCompleted(error);
        while (_wantBounce.TryPeek(out FileOperation? waiting) && _bounces.TryRent(out MappedMemory? rented))
        {
            _wantBounce.Dequeue();
            waiting.Bounce = rented;
            waiting.Prepare();
            Issue(waiting);
        }
    }

    /// <summary>An operation ended on a blocking thread: the worker finishes it.</summary>
    public void EndedElsewhere(FileOperation operation)
    {
        // A stack that is taken whole. The exchange is a full fence; its partner is the exchange in Poll.
        FileOperation? head;
        do
        {
            head = Volatile.Read(ref _ended);
            operation.Next = head;
        }
        while (Interlocked.CompareExchange(ref _ended, operation, head) != head);

        if (head is null)
            _wake.Signal();
    }

    private void OnWake(uint events)
    {
        _wake.Drain();
        Poll();
    }

    private void Begin(StoreRequest request, ulong done)
    {
        if (!_free.TryPop(out FileOperation? operation))
        {
            operation = new FileOperation(this, _store);
            _all.Add(operation);
        }

        operation.Reset(request, done);
        if (operation.NeedsBounce)
        {
            if (!_bounces.TryRent(out MappedMemory? bounce))
            {
                _wantBounce.Enqueue(operation);
                return;
            }

            operation.Bounce = bounce;
        }

        operation.Prepare();
        Issue(operation);
    }

    /// <summary>Reads what is in the page cache.</summary>
    /// <returns>True when the request has been completed.</returns>
    private bool TryRead(StoreRequest request, out ulong done)
    {
        done = 0;
        if (_store.NoNowait && !_store.IsInMemory)
            return false;

        nint result = FileIO.ReadV(
            _store.BufferedFd, request.Buffers.Pointer, request.Buffers.Count, (long)request.Offset, _store.IsInMemory ? 0 : RWF_NOWAIT);
        if (result is -EOPNOTSUPP)
            _store.NoNowait = true;

        if (result is -EOPNOTSUPP or -EAGAIN)
            return false;

        return Took(request, result, out done);
    }

    /// <summary>Writes to the page cache, where that takes no reading first and nothing has stalled lately.</summary>
    private bool TryWrite(StoreRequest request, out ulong done)
    {
        done = 0;
        long start = 0;
        if (!_store.IsInMemory)
        {
            if (request.Durable || ((request.Offset | request.Length) & PageMask) != 0)
                return false;

            start = Stopwatch.GetTimestamp();
            if (start < _inlineWritesAgain)
                return false;
        }

        nint result = FileIO.WriteV(
            _store.BufferedFd, request.Buffers.Pointer, request.Buffers.Count, (long)request.Offset);
        if (start != 0)
        {
            long end = Stopwatch.GetTimestamp();
            if (end - start > StallTicks + ((long)(request.Length >> 20) * StallTicksPerMiB))
                _inlineWritesAgain = end + PauseTicks;
        }

        return Took(request, result, out done);
    }

    private static bool Took(StoreRequest request, nint result, out ulong done)
    {
        done = 0;
        if (result < 0)
        {
            request.OnCompleted((int)-result);
            return true;
        }

        done = (ulong)result;
        if (done < request.Length)
            return false;

        request.OnCompleted(0);
        return true;
    }

    /// <summary>Whether a call could be stopped shows in the call's own result.</summary>
    private sealed class CancelTarget : IRingCompletion
    {
        public void OnCompletion(int result)
        {
        }
    }
}
