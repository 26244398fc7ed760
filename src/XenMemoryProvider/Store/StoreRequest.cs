using XenMemoryProvider.Abi;

namespace XenMemoryProvider.Store;

/// <summary>A request under way; its task is the reply's payload.</summary>
internal sealed class StoreRequest(Xenstore.MessageType type, byte[] message, string subject)
    : TaskCompletionSource<byte[]>(TaskCreationOptions.RunContinuationsAsynchronously)
{
    public Xenstore.MessageType Type { get; } = type;

    public byte[] Message { get; } = message;

    /// <summary>What it is about, for messages.</summary>
    public string Subject { get; } = subject;

    /// <summary>Nobody waits for the reply any more.</summary>
    public volatile bool Abandoned;
}
