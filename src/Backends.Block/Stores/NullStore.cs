using VhostUser.Devices;

namespace Backends.Block.Stores;

/// <summary>Does nothing, at once: what remains of a benchmark's time is ours. Reads leave the buffers as they are.</summary>
internal sealed class NullStore(ulong length) : IBlockStore, IStoreChannel
{
    public StoreProperties Properties { get; } = new(ReadOnly: false, CanDiscard: true);

    public ulong Length { get; } = length;

    public bool Refresh() => false;

    public int Flush() => 0;

    public IStoreChannel OpenChannel(VirtqueueWorker worker) => this;

    public void Submit(StoreRequest request) => request.OnCompleted(0);

    public void Poll()
    {
    }

    public void Dispose()
    {
    }
}
