namespace Backends.Block.Stores;

/// <summary>
/// A few threads of a store for calls that block: everything where io_uring is refused, and the ioctls that it does
/// not know. They start when there is something to do and nobody to do it.
/// </summary>
internal sealed class BlockingThreads : IDisposable
{
    private const int Most = 4;
    private readonly object _gate = new();
    private readonly Queue<FileOperation> _waiting = new();
    private readonly List<Thread> _threads = [];
    private int _idle;
    private bool _stopped;

    /// <summary>Runs an operation to its end; its channel hears of it on the worker's thread.</summary>
    public void Run(FileOperation operation)
    {
        lock (_gate)
        {
            _waiting.Enqueue(operation);
            if (_idle < _waiting.Count && _threads.Count < Most)
                Start();

            Monitor.Pulse(_gate);
        }
    }

    /// <summary>Takes back a channel's operations that no thread has begun, but for flushes.</summary>
    public List<FileOperation> TakeBack(FileChannel channel)
    {
        List<FileOperation> taken = [];
        lock (_gate)
        {
            for (int left = _waiting.Count; left > 0; left--)
            {
                FileOperation operation = _waiting.Dequeue();
                if (operation.Channel == channel && operation.MayCallOff)
                    taken.Add(operation);
                else
                    _waiting.Enqueue(operation);
            }
        }

        return taken;
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _stopped = true;
            Monitor.PulseAll(_gate);
        }

        foreach (Thread thread in _threads)
            thread.Join();
    }

    private void Start()
    {
        Thread thread = new(Work) { Name = $"blk-io/{_threads.Count}", IsBackground = true };
        _threads.Add(thread);
        thread.Start();
    }

    private void Work()
    {
        while (Take() is { } operation)
            operation.RunBlocking();
    }

    private FileOperation? Take()
    {
        lock (_gate)
        {
            _idle++;
            while (_waiting.Count == 0 && !_stopped)
                Monitor.Wait(_gate);

            _idle--;
            return _waiting.TryDequeue(out FileOperation? operation) ? operation : null;
        }
    }
}
