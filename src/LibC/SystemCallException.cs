namespace VhostXen.Linux;

/// <summary>A system call failed where no result value exists for it. The message reads "mmap: EINVAL (Invalid argument)".</summary>
public sealed class SystemCallException : IOException
{
    /// <param name="call">The C name of the call, with what it was applied to if that helps: "open /dev/xen/gntdev".</param>
    /// <param name="error">A positive errno.</param>
    public SystemCallException(string call, int error)
        : base($"{call}: {LibC.errno_name(error)} ({LibC.strerror(error)})")
    {
        Call = call;
        Error = error;
    }

    public string Call { get; }

    /// <summary>The errno, positive.</summary>
    public int Error { get; }

    /// <summary>For the call that just failed on this thread.</summary>
    public static SystemCallException FromErrno(string call) => new(call, LibC.errno);
}
