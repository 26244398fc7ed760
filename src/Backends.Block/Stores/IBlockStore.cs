using VhostUser.Devices;

namespace Backends.Block.Stores;

/// <summary>Bytes that outlive requests. One object per device; its channels do the work.</summary>
internal interface IBlockStore : IDisposable
{
    /// <summary>What can be done with it and in which units.</summary>
    StoreProperties Properties { get; }

    /// <summary>Bytes, at the moment: <see cref="Refresh"/> changes it.</summary>
    ulong Length { get; }

    /// <summary>Looks whether the length changed behind our back. Any thread.</summary>
    /// <returns>True when it did.</returns>
    bool Refresh();

    /// <summary>Makes everything written so far stable. Blocks; for the control plane.</summary>
    /// <returns>0, or a positive errno.</returns>
    int Flush();

    /// <summary>A way in for one queue. Called on the control plane; used and disposed on the worker's thread.</summary>
    IStoreChannel OpenChannel(VirtqueueWorker worker);
}
