namespace VhostUser.Session;

/// <summary>
/// The front-end asked for something well-formed that cannot be done. It is told so by a non-zero
/// acknowledgement, nothing has changed, and the session goes on.
/// </summary>
internal sealed class RequestRefusedException : Exception
{
    public RequestRefusedException(string message)
        : base(message)
    {
    }

    public RequestRefusedException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
