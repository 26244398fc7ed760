using System.Collections.Concurrent;

namespace Fuzz.Targets;

/// <summary>A connection in this process: what the product writes can be taken, what is given it reads, in the same pieces.</summary>
internal sealed class ScriptedStream : Stream
{
    private readonly ConcurrentQueue<byte[]> _given = new();
    private readonly SemaphoreSlim _readable = new(0);
    private readonly SemaphoreSlim _written = new(0);
    private readonly ConcurrentQueue<byte[]> _taken = new();
    private ReadOnlyMemory<byte> _rest;
    private volatile bool _ended;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>Disposed by its owner.</summary>
    public bool IsClosed { get; private set; }

    /// <summary>Released once for each write, and for whoever else wants to wake who waits.</summary>
    public SemaphoreSlim Written => _written;

    public void Give(byte[] bytes)
    {
        if (bytes.Length == 0)
            return;

        _given.Enqueue(bytes);
        _readable.Release();
    }

    public void EndGiving()
    {
        _ended = true;
        _readable.Release();
    }

    public byte[]? Take() => _taken.TryDequeue(out byte[]? written) ? written : null;

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (_rest.IsEmpty)
        {
            if (_given.TryDequeue(out byte[]? next))
            {
                _rest = next;
                break;
            }

            if (_ended)
                return 0;

            await _readable.WaitAsync(cancellationToken).ConfigureAwait(false);
        }

        int count = Math.Min(buffer.Length, _rest.Length);
        _rest[..count].CopyTo(buffer);
        _rest = _rest[count..];
        return count;
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_ended)
            return ValueTask.FromException(new IOException("the other side is gone"));

        _taken.Enqueue(buffer.ToArray());
        _written.Release();
        return ValueTask.CompletedTask;
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        IsClosed = true;
        base.Dispose(disposing);
    }
}
