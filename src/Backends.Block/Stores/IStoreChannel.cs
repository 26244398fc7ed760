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

    /// <summary>
    /// The queue stops and leaves to a successor what can be left: operations end early, with ECANCELED, of which nothing
    /// happens any more from then on. What the host has begun ends as it does, and so do flushes: a successor on another
    /// host could not make stable what is in this one's page cache. Nothing is submitted until <see cref="Resume"/>.
    /// </summary>
    void CallOff()
    {
    }

    /// <summary>The queue starts.</summary>
    void Resume()
    {
    }
}
