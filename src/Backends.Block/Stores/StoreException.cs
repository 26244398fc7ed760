namespace Backends.Block.Stores;

/// <summary>A store cannot be opened; the message is for the operator, one line.</summary>
internal sealed class StoreException(string message, Exception? inner = null) : Exception(message, inner);
