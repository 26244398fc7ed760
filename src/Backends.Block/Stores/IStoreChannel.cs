namespace Backends.Block.Stores;

/// <summary>One queue's way into a store. Everything here runs on the worker's thread.</summary>
internal interface IStoreChannel : IDisposable
{
    /// <summary>
    /// Starts an operation that lies inside the store. <see cref="StoreRequest.OnCompleted"/> is called exactly
    /// once, before this returns or later, on the worker's thread.
    /// </summary>
    void Submit(StoreRequest request);

    /// <summary>Looks for operations that ended on other threads.</summary>
    void Poll();
}
