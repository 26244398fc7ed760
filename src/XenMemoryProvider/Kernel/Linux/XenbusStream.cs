using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace XenMemoryProvider.Kernel.Linux;

/// <summary>
/// /dev/xen/xenbus as a stream. The kernel wants whole messages of at most 4096 bytes with their header, and answers with
/// a stream of bytes. One request at a time: the kernel keeps a request's payload in one buffer per open file until its own
/// thread has sent it, so a second request written before the reply to the first sends the second's payload twice (seen
/// with Linux 6.1). A pending read keeps one thread until data, cancellation or disposal: this is the way in for driver
/// domains; the host uses the daemon's socket.
/// </summary>
internal sealed unsafe class XenbusStream(FileDescriptor device) : Stream
{
    private readonly EventFd _wake = EventFd.Create();
    private volatile bool _disposed;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <returns>0 only once this is disposed.</returns>
    public override int Read(Span<byte> buffer) => Read(buffer, default);

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        new(Task.Run(() => Read(buffer.Span, cancellationToken), cancellationToken));

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            nint count;
            fixed (byte* from = buffer)
            {
                using FileDescriptor.Borrowed fd = device.Borrow();
                count = FileIO.Write(fd.Value, from, (nuint)buffer.Length);
            }
            if (count <= 0 && count != -EAGAIN) throw new XenException("write /dev/xen/xenbus", null, count == 0 ? EIO : (int)-count);
            if (count == -EAGAIN) Wait(POLLOUT, default);
            else buffer = buffer[(int)count..];
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing && !_disposed)
        {
            _disposed = true;
            _wake.Signal(); // A reader in Wait returns, and its reference keeps the descriptors open until then.
            device.Dispose();
            _wake.Dispose();
        }
        base.Dispose(disposing);
    }

    private int Read(Span<byte> buffer, CancellationToken cancellationToken)
    {
        while (!_disposed)
        {
            nint count;
            try
            {
                using FileDescriptor.Borrowed fd = device.Borrow();
                fixed (byte* to = buffer) count = FileIO.Read(fd.Value, to, (nuint)buffer.Length);
                if (count == -EAGAIN) Wait(POLLIN, cancellationToken);
            }
            catch (ObjectDisposedException) when (_disposed)
            {
                return 0;
            }
            if (count >= 0) return (int)count;
            if (count != -EAGAIN) throw new XenException("read /dev/xen/xenbus", null, (int)-count);
            cancellationToken.ThrowIfCancellationRequested();
        }
        return 0;
    }

    private void Wait(short events, CancellationToken cancellationToken)
    {
        using FileDescriptor.Borrowed fd = device.Borrow();
        using FileDescriptor.Borrowed wake = _wake.Handle.Borrow();
        using CancellationTokenRegistration registration = cancellationToken.UnsafeRegister(static e => ((EventFd)e!).Signal(), _wake);
        pollfd* fds = stackalloc pollfd[2] { new() { fd = fd.Value, events = events }, new() { fd = wake.Value, events = POLLIN } };
        if (poll(fds, 2, -1) > 0 && fds[1].revents != 0 && !_disposed) _wake.Drain();
    }
}
