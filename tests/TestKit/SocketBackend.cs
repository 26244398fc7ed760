using Microsoft.Extensions.Logging;
using System.Net.Sockets;
using VhostUser.Devices;
using VhostUser.Memory;
using VhostUser.Session;
using VhostXen.Linux;

namespace TestKit;

/// <summary>
/// A device behind a Unix socket. Disposing hangs up in the middle of whatever it does, and a new one may take its place.
/// </summary>
public sealed class SocketBackend : IAsyncDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly CancellationTokenSource _stop = new();
    private readonly DeviceInstance _instance;
    private readonly IGuestMemoryProvider _memory;
    private readonly SessionOptions _options;
    private readonly ILogger _logger;
    private readonly string _path;
    private readonly Task _serving;

    private SocketBackend(string path, DeviceInstance instance, IGuestMemoryProvider memory, SessionOptions options, ILogger logger)
    {
        _path = path;
        _instance = instance;
        _memory = memory;
        _options = options;
        _logger = logger;
        File.Delete(path);
        _listener.Bind(new UnixDomainSocketEndPoint(path));
        _listener.Listen(4);
        _serving = ServeAsync();
    }

    /// <summary>Sessions that were served.</summary>
    public int Sessions { get; private set; }

    public static async Task<SocketBackend> StartAsync(string path, VirtioDevice device, IGuestMemoryProvider memory, ILogger logger, SessionOptions? options = null)
    {
        DeviceInstance instance = await DeviceInstance.StartAsync("test", device, 1, new WorkerOptions { UseIoUring = false }, logger);
        return new SocketBackend(path, instance, memory, options ?? new SessionOptions(), logger);
    }

    /// <summary>Ends the session, the socket and the device. A second time does nothing.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_stop.IsCancellationRequested)
            return;

        await _stop.CancelAsync();
        _listener.Dispose();
        await _serving;
        File.Delete(_path);
        await _instance.DisposeAsync();
    }

    private async Task ServeAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                using Socket connection = await _listener.AcceptAsync(_stop.Token);
                using FileDescriptor borrowed = new((int)connection.Handle, ownsHandle: false);
                Sessions++;
                await new BackendSession(borrowed.Duplicate(), _instance, _memory, _options, _logger).RunAsync(_stop.Token);
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException or IOException)
            {
                // The end, or a front-end that has gone.
            }
        }
    }
}
