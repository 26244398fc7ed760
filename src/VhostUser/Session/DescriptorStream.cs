using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace VhostUser.Session;

/// <summary>A descriptor from a front-end (a pipe, mostly) as a stream whose waits end when cancelled. One direction at a time.</summary>
internal sealed unsafe class DescriptorStream : Stream
{
    private const int PollMilliseconds = 100;
    private readonly FileDescriptor _file;
    private readonly CancellationToken _cancellation;

    /// <param name="file">Owned from here on.</param>
    /// <param name="writable">Direction.</param>
    /// <param name="cancellation">Ends every wait.</param>
    /// <exception cref="SystemCallException">It cannot be made non-blocking.</exception>
    public DescriptorStream(FileDescriptor file, bool writable, CancellationToken cancellation)
    {
        file.SetNonBlocking(true);
        _file = file;
        _cancellation = cancellation;
        CanWrite = writable;
    }

    public override bool CanRead => !CanWrite;

    public override bool CanWrite { get; }

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int Read(Span<byte> buffer)
    {
        if (buffer.IsEmpty)
            return 0;

        fixed (byte* first = buffer)
        {
            while (true)
            {
                // Before each call: a peer that always has more (/dev/zero) never makes anybody wait.
                _cancellation.ThrowIfCancellationRequested();
                nint count = FileIO.Read(_file.Value, first, (nuint)buffer.Length);
                if (count >= 0)
                    return (int)count;

                Wait("read", count, POLLIN);
            }
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        fixed (byte* first = buffer)
        {
            nint written = 0;
            while (written < buffer.Length)
            {
                _cancellation.ThrowIfCancellationRequested();
                nint count = FileIO.Write(_file.Value, first + written, (nuint)(buffer.Length - written));
                if (count >= 0)
                    written += count;
                else
                    Wait("write", count, POLLOUT);
            }
        }
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _file.Dispose();

        base.Dispose(disposing);
    }

    private void Wait(string call, nint result, short events)
    {
        if (result != -EAGAIN)
            throw new SystemCallException(call, (int)-result);

        Span<pollfd> poll = [new pollfd { fd = _file.Value, events = events }];
        FileIO.Poll(poll, PollMilliseconds);
    }
}
