namespace VhostUser.Devices;

/// <summary>
/// A device's data path for one queue. Every method runs on the queue's worker thread: no locks are needed for
/// what belongs to the queue, and nothing here may block for long or throw.
/// </summary>
public abstract class QueueHandler : IDisposable
{
    /// <summary>
    /// Takes one request. It is completed now or later, in any order, by <see cref="VirtqueueRequest.Complete"/>,
    /// exactly once.
    /// </summary>
    public abstract void Process(VirtqueueRequest request);

    /// <summary>The ring has been drained for now: submit what was gathered.</summary>
    public virtual void EndOfBatch()
    {
    }

    /// <summary>
    /// There may be requests. The default takes them all, up to a budget, and hands them to <see cref="Process"/>;
    /// a device that fills buffers when it has data (net receive) overrides it and takes them when needed.
    /// </summary>
    /// <returns>True when it stopped for its budget and there may be more.</returns>
    public virtual bool OnAvailable(Vring vring)
    {
        for (int budget = Vring.BatchBudget; budget > 0; budget--)
        {
            if (!vring.TryTake(out VirtqueueRequest? request))
                return false;

            Process(request);
        }

        return true;
    }

    /// <summary>The ring starts with these features.</summary>
    public virtual void Start(ulong features)
    {
    }

    /// <summary>The ring is stopping: nothing more will be taken; complete, or hasten, what is in flight.</summary>
    public virtual void Stop()
    {
    }

    /// <summary>
    /// The ring is stopping, and the front-end lets requests stay in flight (GET_VRING_BASE_INFLIGHT): instead of waiting
    /// for the host, give back by <see cref="VirtqueueRequest.Suspend"/>, now or as they end, those that from then on touch
    /// neither the guest's memory nor what the device keeps. A successor does them again, whole; all others are completed.
    /// Called in the place of <see cref="Stop"/>, which is what it does where it is not overridden.
    /// </summary>
    public virtual void Suspend() => Stop();

    public virtual void Dispose() => GC.SuppressFinalize(this);
}
