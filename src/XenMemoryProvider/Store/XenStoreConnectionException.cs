namespace XenMemoryProvider.Store;

/// <summary>The connection to xenstore is over, for the reason in the message. Every pending and later request gets it; open a new connection.</summary>
public sealed class XenStoreConnectionException : IOException
{
    public XenStoreConnectionException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
