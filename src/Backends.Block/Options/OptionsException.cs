namespace Backends.Block.Options;

/// <summary>Options that make no sense; the message is one line for the operator.</summary>
internal sealed class OptionsException(string message) : Exception(message);
