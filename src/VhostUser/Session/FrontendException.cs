namespace VhostUser.Session;

/// <summary>A back-end refused a request, broke the protocol, did not answer in time, or has gone.</summary>
public sealed class FrontendException : IOException
{
    public FrontendException(string message)
        : base(message)
    {
    }

    public FrontendException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
