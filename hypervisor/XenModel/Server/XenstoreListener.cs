using System.Net.Sockets;
using XenModel.Store;

namespace XenModel.Server;

/// <summary>xenstored's own socket, where every process of the host is domain 0.</summary>
public sealed class XenstoreListener : IAsyncDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly string _path;
    private readonly XenStoreDaemon _store;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _task;

    /// <param name="path">Must not exist.</param>
    /// <exception cref="SocketException">The path cannot be listened at.</exception>
    public XenstoreListener(XenStoreDaemon store, string path)
    {
        _store = store;
        _path = path;
        _listener.Bind(new UnixDomainSocketEndPoint(path));
        _listener.Listen(64);
        _task = AcceptAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _task.ConfigureAwait(false);
        _listener.Dispose();
        _stop.Dispose();
        File.Delete(_path);
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                Socket accepted = await _listener.AcceptAsync(_stop.Token).ConfigureAwait(false);
                _store.Serve(new NetworkStream(accepted, ownsSocket: true), domid: 0, privileged: true);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (SocketException)
            {
                // Out of descriptors, or the peer went away already.
                await Task.Delay(10, CancellationToken.None).ConfigureAwait(false);
            }
        }
    }
}
