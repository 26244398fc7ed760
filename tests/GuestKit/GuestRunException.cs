namespace GuestKit;

/// <summary>A run went wrong: says what, where the log is, and how it ended.</summary>
public sealed class GuestRunException : Exception
{
    public GuestRunException(string message)
        : base(message)
    {
    }

    public GuestRunException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
