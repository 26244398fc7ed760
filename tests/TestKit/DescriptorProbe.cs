using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace TestKit;

/// <summary>
/// A descriptor to send away, and a way to see whether the receiver still has it: the other end of a socket pair
/// sees the end of the connection once nobody holds this end any more.
/// </summary>
public sealed class DescriptorProbe : IDisposable
{
    private readonly FileDescriptor _watch;

    public DescriptorProbe() => (_watch, Descriptor) = FdSocket.Pair(SOCK_NONBLOCK);

    /// <summary>Send this.</summary>
    public FileDescriptor Descriptor { get; }

    /// <summary>Closes our own copy; true when nobody else has one, waiting for that up to the deadline.</summary>
    public bool IsClosedByPeer(TimeSpan deadline)
    {
        Descriptor.Dispose();
        Span<pollfd> poll = [new pollfd { fd = _watch.Value, events = POLLIN }];
        return FileIO.Poll(poll, (int)deadline.TotalMilliseconds) == 1 && (poll[0].revents & POLLHUP) != 0;
    }

    public void Dispose()
    {
        Descriptor.Dispose();
        _watch.Dispose();
    }
}
