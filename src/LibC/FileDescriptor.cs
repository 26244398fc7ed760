using System.Diagnostics.CodeAnalysis;
using Microsoft.Win32.SafeHandles;
using static VhostXen.Linux.LibC;

namespace VhostXen.Linux;

/// <summary>A file descriptor with one owner, closed exactly once.</summary>
public sealed class FileDescriptor : SafeHandleMinusOneIsInvalid
{
    /// <param name="fd">Open, or -1.</param>
    /// <param name="ownsHandle">False for a descriptor somebody else closes, such as standard input.</param>
    public FileDescriptor(int fd, bool ownsHandle = true)
        : base(ownsHandle) => SetHandle(fd);

    /// <summary>
    /// The number, for a caller that keeps this object alive and open during the call it makes with it.
    /// Where another thread may dispose, use <see cref="Borrow"/>.
    /// </summary>
    public int Value => (int)handle;

    /// <summary>The number, with a promise that it stays open until the result is disposed.</summary>
    /// <exception cref="ObjectDisposedException">It was closed.</exception>
    public Borrowed Borrow() => new(this);

    /// <summary>Takes what a call returned: a descriptor, or -1 with errno set.</summary>
    /// <exception cref="SystemCallException">It was -1.</exception>
    public static FileDescriptor FromResult(int result, string call) =>
        result >= 0 ? new FileDescriptor(result) : throw SystemCallException.FromErrno(call);

    /// <summary>open(2) with O_CLOEXEC.</summary>
    /// <exception cref="SystemCallException">The errno of open.</exception>
    public static FileDescriptor Open(string path, int flags, uint mode = 0)
    {
        int fd;
        do
        {
            fd = open(path, flags | O_CLOEXEC, mode);
        }
        while (fd < 0 && errno == EINTR);

        return FromResult(fd, fd < 0 ? $"open {path}" : "open");
    }

    /// <summary>A second descriptor of the same open file, close-on-exec.</summary>
    /// <exception cref="SystemCallException">EMFILE: the process has no number left.</exception>
    public FileDescriptor Duplicate()
    {
        using Borrowed source = Borrow();
        return FromResult(fcntl(source.Value, F_DUPFD_CLOEXEC), "fcntl F_DUPFD_CLOEXEC");
    }

    /// <summary>Sets or clears O_NONBLOCK on the open file, which all its duplicates share.</summary>
    /// <exception cref="SystemCallException">The errno of fcntl.</exception>
    public void SetNonBlocking(bool nonBlocking)
    {
        using Borrowed fd = Borrow();
        int flags = fcntl(fd.Value, F_GETFL);
        int wanted = nonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        if (flags < 0 || (wanted != flags && fcntl(fd.Value, F_SETFL, wanted) < 0))
            throw SystemCallException.FromErrno("fcntl O_NONBLOCK");
    }

    public override string ToString() => IsClosed ? "fd closed" : $"fd {Value}";

    // EINTR included: Linux has released the number when close returns, whatever it returns.
    protected override bool ReleaseHandle() => close((int)handle) == 0;

    /// <summary>A descriptor that cannot be closed while this exists.</summary>
    public readonly ref struct Borrowed
    {
        private readonly FileDescriptor _owner;

        [SuppressMessage("Reliability", "CA2020", Justification = "a descriptor fits an int")]
        internal Borrowed(FileDescriptor owner)
        {
            bool added = false;
            owner.DangerousAddRef(ref added);
            _owner = owner;
        }

        public int Value => (int)_owner.handle;

        public void Dispose() => _owner?.DangerousRelease();
    }
}
