using VhostUser.Memory;

namespace Backends.Block.Stores;

/// <summary>
/// One operation on a store: what, where, with which buffers. Made once and used again; its owner touches it only
/// before it is submitted and after it completed.
/// </summary>
internal abstract class StoreRequest
{
    public StoreOperation Operation { get; protected set; }

    /// <summary>First byte.</summary>
    public ulong Offset { get; protected set; }

    /// <summary>Bytes.</summary>
    public ulong Length { get; protected set; }

    /// <summary>For reads and writes: exactly <see cref="Length"/> bytes.</summary>
    public IovecList Buffers { get; } = new();

    /// <summary>False when the kernel cannot pin the buffers: O_DIRECT needs a copy.</summary>
    public bool CanPin { get; protected set; }

    /// <summary>Complete a write only once it is stable.</summary>
    public bool Durable { get; protected set; }

    /// <summary>Zeroes may give the space back.</summary>
    public bool MayUnmap { get; protected set; }

    /// <summary>The operation ended. On the worker's thread.</summary>
    /// <param name="error">0, or a positive errno.</param>
    public abstract void OnCompleted(int error);
}
