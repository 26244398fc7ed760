using Backends.Block.Stores;
using VhostUser.Devices;
using VhostXen.Linux;

namespace Backends.Block.Tests.Stores;

/// <summary>A decorator: notes what is asked, fails what a test wants to fail, and can hold requests back.</summary>
internal sealed class RecordingStore(IBlockStore inner) : IBlockStore
{
    private readonly object _gate = new();
    private readonly List<(StoreRequest Request, IStoreChannel Channel)> _held = [];
    private readonly List<Seen> _seen = [];
    private VirtqueueWorker? _worker;
    private bool _hold;

    /// <summary>The errno for an operation; 0 lets it through.</summary>
    public Func<StoreRequest, int> Fail { get; set; } = static _ => 0;

    public StoreProperties Properties { get; init; } = inner.Properties;

    public ulong Length => inner.Length;

    public int Flushes { get; private set; }

    public IReadOnlyList<Seen> Operations
    {
        get
        {
            lock (_gate)
                return [.. _seen];
        }
    }

    public bool Hold
    {
        set
        {
            lock (_gate)
                _hold = value;
        }
    }

    public bool Refresh() => inner.Refresh();

    public int Flush()
    {
        Flushes++;
        return inner.Flush();
    }

    public IStoreChannel OpenChannel(VirtqueueWorker worker)
    {
        _worker = worker;
        return new Channel(this, inner.OpenChannel(worker));
    }

    /// <summary>Waits until so many requests are held back.</summary>
    public void WaitForHeld(int count)
    {
        lock (_gate)
        {
            while (_held.Count < count)
                Assert.True(Monitor.Wait(_gate, TimeSpan.FromSeconds(20)), "the device did not submit");
        }
    }

    /// <summary>Lets one held request through, on the worker's thread.</summary>
    public void Release(int index = 0)
    {
        (StoreRequest Request, IStoreChannel Channel) held;
        lock (_gate)
        {
            held = _held[index];
            _held.RemoveAt(index);
        }

        _worker!.InvokeAsync(() => held.Channel.Submit(held.Request));
    }

    public void Dispose() => inner.Dispose();

    internal readonly record struct Seen(StoreOperation Operation, ulong Offset, ulong Length, bool Durable, bool MayUnmap);

    private sealed class Channel(RecordingStore store, IStoreChannel inner) : IStoreChannel
    {
        public void Submit(StoreRequest request)
        {
            lock (store._gate)
            {
                store._seen.Add(new Seen(request.Operation, request.Offset, request.Length, request.Durable, request.MayUnmap));
                if (store._hold)
                {
                    store._held.Add((request, inner));
                    Monitor.PulseAll(store._gate);
                    return;
                }
            }

            int error = store.Fail(request);
            if (error != 0)
                request.OnCompleted(error);
            else
                inner.Submit(request);
        }

        public void Poll() => inner.Poll();

        /// <summary>What is held has not been begun.</summary>
        public void CallOff()
        {
            List<(StoreRequest Request, IStoreChannel Channel)> held;
            lock (store._gate)
            {
                held = store._held.FindAll(one => one.Channel == inner && one.Request.Operation != StoreOperation.Flush);
                store._held.RemoveAll(held.Contains);
            }

            held.ForEach(static one => one.Request.OnCompleted(LibC.ECANCELED));
            inner.CallOff();
        }

        public void Resume() => inner.Resume();

        public void Dispose() => inner.Dispose();
    }
}
