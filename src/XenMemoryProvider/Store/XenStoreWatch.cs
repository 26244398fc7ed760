using System.Threading.Channels;

namespace XenMemoryProvider.Store;

/// <summary>
/// A watch on a node and everything below it. Events are hints to look again: the first comes at once, several may be one,
/// and after a flood the watched path alone is named. Dispose takes the watch back.
/// </summary>
public sealed class XenStoreWatch : IAsyncDisposable
{
    private readonly StoreConnection _connection;
    private readonly Func<XenStoreWatch, Task> _unwatch;
    private readonly Channel<string> _events;
    private int _missed;
    private int _disposed;

    internal XenStoreWatch(StoreConnection connection, string path, string token, int capacity, Func<XenStoreWatch, Task> unwatch)
    {
        _connection = connection;
        _unwatch = unwatch;
        Path = path;
        Token = token;
        _events = Channel.CreateBounded<string>(new BoundedChannelOptions(capacity) { SingleWriter = true });
    }

    /// <summary>What is watched: a path, or @introduceDomain or @releaseDomain.</summary>
    public string Path { get; }

    /// <summary>The connection's name for the watch.</summary>
    internal string Token { get; }

    /// <summary>The paths that changed, as they come, until the watch is disposed.</summary>
    /// <exception cref="XenStoreConnectionException">The connection is over.</exception>
    public async IAsyncEnumerable<string> ReadAllAsync([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        while (await _events.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
        {
            while (_events.Reader.TryRead(out string? path)) yield return path;
            if (Interlocked.Exchange(ref _missed, 0) != 0) yield return Path;
        }
    }

    /// <summary>The next path that changed.</summary>
    /// <exception cref="XenStoreConnectionException">The connection is over.</exception>
    /// <exception cref="OperationCanceledException">Cancelled, or the watch was disposed.</exception>
    public async ValueTask<string> NextAsync(CancellationToken cancellationToken = default)
    {
        await foreach (string path in ReadAllAsync(cancellationToken).ConfigureAwait(false)) return path;
        throw new OperationCanceledException($"the watch on {Path} was taken back");
    }

    /// <summary>Takes the watch back. An event on its way is dropped.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        _connection.RemoveWatch(this);
        _events.Writer.TryComplete();
        await _unwatch(this).ConfigureAwait(false);
    }

    internal void Post(string path)
    {
        if (!_events.Writer.TryWrite(path)) Volatile.Write(ref _missed, 1);
    }

    internal void End(Exception reason) => _events.Writer.TryComplete(reason);
}
