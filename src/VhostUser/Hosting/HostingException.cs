namespace VhostUser.Hosting;

/// <summary>The daemon cannot start as asked; the message is one line for the operator.</summary>
public sealed class HostingException(string message) : Exception(message);
