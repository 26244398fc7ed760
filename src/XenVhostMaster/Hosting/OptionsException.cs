namespace XenVhostMaster.Hosting;

/// <summary>The options make no sense; the message is one line for who typed them.</summary>
internal sealed class OptionsException(string message) : Exception(message);
