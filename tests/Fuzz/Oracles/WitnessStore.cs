using Backends.Block.Stores;
using VhostUser.Devices;

namespace Fuzz.Oracles;

/// <summary>A store that writes down what it is asked for, and fails when it is told to.</summary>
internal sealed class WitnessStore(IBlockStore inner, StoreProperties properties) : IBlockStore
{
    private readonly Lock _lock = new();
    private readonly List<StoreStep> _steps = [];
    private int _failAt = -1;
    private int _failWith;

    public StoreProperties Properties => properties;

    public ulong Length => inner.Length;

    /// <summary>Forgets what it saw.</summary>
    /// <param name="failAt">The operation from now on, counted from 0, that fails; -1 for none.</param>
    /// <param name="error">With this errno.</param>
    public void Begin(int failAt, int error)
    {
        lock (_lock)
        {
            _steps.Clear();
            _failAt = failAt;
            _failWith = error;
        }
    }

    public StoreStep[] Taken()
    {
        lock (_lock)
            return [.. _steps];
    }

    public bool Refresh() => false;

    public int Flush() => inner.Flush();

    public IStoreChannel OpenChannel(VirtqueueWorker worker) => new Channel(this, inner.OpenChannel(worker));

    public void Dispose() => inner.Dispose();

    private int Note(StoreRequest request)
    {
        bool changes = request.Operation is not (StoreOperation.Read or StoreOperation.Flush);
        lock (_lock)
        {
            int index = _steps.Count;
            _steps.Add(new StoreStep(
                request.Operation, request.Offset, request.Length, changes && request.Durable, request.Operation == StoreOperation.WriteZeroes && request.MayUnmap));
            return index == _failAt ? _failWith : 0;
        }
    }

    private sealed class Channel(WitnessStore store, IStoreChannel inner) : IStoreChannel
    {
        public void Submit(StoreRequest request)
        {
            if (store.Note(request) is not 0 and int error)
                request.OnCompleted(error);
            else
                inner.Submit(request);
        }

        public void Poll()
        {
        }

        public void Dispose() => inner.Dispose();
    }
}
