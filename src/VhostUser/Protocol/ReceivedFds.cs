using VhostXen.Linux;

namespace VhostUser.Protocol;

/// <summary>The descriptors that came with one message. What nobody takes is closed with it (CVE-2022-0669).</summary>
internal sealed class ReceivedFds : IDisposable
{
    private readonly List<FileDescriptor> _fds = [];
    private int _taken;

    /// <summary>How many came.</summary>
    public int Count => _fds.Count;

    /// <summary>Where the socket puts them.</summary>
    internal ICollection<FileDescriptor> Incoming => _fds;

    /// <summary>Gives the next one away; the caller owns it from here on.</summary>
    /// <exception cref="InvalidOperationException">All are taken; the count is to be checked first.</exception>
    public FileDescriptor Take()
        => _taken < _fds.Count ? _fds[_taken++] : throw new InvalidOperationException("no descriptor is left in this message");

    /// <summary>The next one, which stays here.</summary>
    public FileDescriptor Peek(int index) => _fds[index];

    public void Dispose()
    {
        for (; _taken < _fds.Count; _taken++)
            _fds[_taken].Dispose();
    }
}
