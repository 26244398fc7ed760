using VhostXen.Linux;
using XenMemoryProvider.Abi;

namespace XenMemoryProvider.Kernel;

/// <summary>Xen or one of its devices refused. The message reads "MMAPBATCH_V2 for domain 3: EPERM (Operation not permitted)".</summary>
public sealed class XenException : IOException
{
    /// <param name="call">What was asked, in Xen's words.</param>
    /// <param name="domid">About which domain, if about one.</param>
    /// <param name="error">A positive errno.</param>
    /// <param name="hint">What the reader may do about it; a sentence without its full stop.</param>
    public XenException(string call, ushort? domid, int error, string? hint = null)
        : base($"{call}{(domid is { } id ? $" for domain {id}" : "")}: {LibC.errno_name(error)} ({LibC.strerror(error)}){(hint is null ? "" : $". {hint}")}")
    {
        Call = call;
        Domid = domid;
        Errno = error;
    }

    /// <summary>What was asked, in Xen's words.</summary>
    public string Call { get; }

    /// <summary>About which domain; null if about none.</summary>
    public ushort? Domid { get; }

    /// <summary>The errno, positive.</summary>
    public int Errno { get; }

    /// <summary>The errno by name.</summary>
    public XenErrno Error => (XenErrno)Errno;

    /// <summary>Returns a result, or throws the errno in it.</summary>
    /// <exception cref="XenException">The result was negative.</exception>
    public static int Check(int result, string call, ushort? domid = null) =>
        result >= 0 ? result : throw new XenException(call, domid, -result);
}
