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
