namespace VhostUser.Protocol;

/// <summary>The peer broke the protocol: nothing it sends from here on can be trusted to be in step, so the connection ends.</summary>
public sealed class ProtocolException : Exception
{
    /// <param name="message">The name of the offending message, "SET_MEM_TABLE".</param>
    /// <param name="cause">What is wrong with it.</param>
    public ProtocolException(string message, string cause)
        : base($"{message}: {cause}")
    {
    }
}
