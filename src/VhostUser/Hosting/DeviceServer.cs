using System.Net.Sockets;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using VhostUser.Devices;
using VhostUser.Memory;
using VhostUser.Session;
using VhostXen.Linux;

namespace VhostUser.Hosting;

/// <summary>
/// Serves one device: one front-end after the other, any number of times. A second front-end that connects
/// while one is served waits in the socket's backlog.
/// </summary>
internal sealed class DeviceServer : BackgroundService
{
    private const int AcceptRetrySeconds = 1;

    private readonly HostedDevice _hosted;
    private readonly IGuestMemoryProvider _memory;
    private readonly ILogger _logger;
    private readonly IHostApplicationLifetime _lifetime;
    private readonly VhostUserMetrics _metrics;
    private Endpoint? _endpoint;
    private DeviceInstance? _instance;

    public DeviceServer(
        HostedDevice hosted, IGuestMemoryProvider memory, ILoggerFactory loggers, IHostApplicationLifetime lifetime, VhostUserMetrics metrics)
    {
        _hosted = hosted;
        _memory = memory;
        _logger = loggers.CreateLogger("vhost-user");
        _lifetime = lifetime;
        _metrics = metrics;
    }

    private string Name => _hosted.Options.Name;

    /// <summary>Opens the socket before the host says that it is ready, so that a front-end can connect from then on.</summary>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        DeviceHostOptions options = _hosted.Options;
        _endpoint = Endpoint.Open(options);
        WorkerOptions worker = new() { PollMicroseconds = options.PollMicroseconds, UseIoUring = options.UseIoUring };
        _instance = await DeviceInstance.StartAsync(Name, _hosted.Device, options.Workers, worker, _logger).ConfigureAwait(false);
        _metrics.Add(_instance);
        _logger.Listening(Name, _endpoint.Name);
        await base.StartAsync(cancellationToken).ConfigureAwait(false);
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken).ConfigureAwait(false);
        _endpoint?.Dispose();
        if (_instance is null)
            return;

        // A disk that hangs must not keep the daemon: what is in flight gets the shutdown time and no more.
        Task disposed = _instance.DisposeAsync().AsTask();
        if (await Task.WhenAny(disposed, Task.Delay(Timeout.Infinite, cancellationToken)).ConfigureAwait(false) != disposed)
            _logger.StillInFlight(Name, _instance.Vrings.Sum(static vring => vring.InFlight));
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            Socket? socket = _endpoint!.IsListening ? await AcceptAsync(stoppingToken).ConfigureAwait(false) : _endpoint.Socket;
            if (socket is null)
                break;

            using (socket)
                await ServeAsync(socket, stoppingToken).ConfigureAwait(false);

            if (!_endpoint.IsListening)
            {
                _lifetime.StopApplication();
                break;
            }
        }
    }

    private async Task<Socket?> AcceptAsync(CancellationToken stoppingToken)
    {
        while (true)
        {
            try
            {
                return await _endpoint!.Socket.AcceptAsync(stoppingToken).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return null;
            }
            catch (SocketException e)
            {
                // Out of descriptors, most likely: the sessions of other devices may give some back.
                _logger.AcceptFailed(Name, e.Message, AcceptRetrySeconds);
                await Task.Delay(TimeSpan.FromSeconds(AcceptRetrySeconds), stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>
    /// The device hangs. A front-end that comes back is not left in the backlog, where its guest would stop with it: it is
    /// hung up on, and may try again.
    /// </summary>
    private async Task RefuseUntilAsync(Task served, CancellationToken stoppingToken)
    {
        if (!_endpoint!.IsListening)
            return;

        using var until = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
        Task<Socket?> accepted = AcceptAsync(until.Token);
        for (long refused = 1; await Task.WhenAny(served, accepted).ConfigureAwait(false) == accepted; refused++)
        {
            if (await accepted.ConfigureAwait(false) is not { } socket)
                return;

            socket.Dispose();
            if (System.Numerics.BitOperations.IsPow2(refused))
                _logger.RefusedWhileHung(Name, refused);

            accepted = AcceptAsync(until.Token);
        }

        await until.CancelAsync().ConfigureAwait(false);
        (await accepted.ConfigureAwait(false))?.Dispose();
    }

    private async Task ServeAsync(Socket socket, CancellationToken stoppingToken)
    {
        try
        {
            // The session works on a descriptor of its own: messages with descriptors are not the runtime's to read.
            using FileDescriptor borrowed = new((int)socket.Handle, ownsHandle: false);
            BackendSession session = new(borrowed.Duplicate(), _instance!, _memory, _hosted.Options.Session, _logger);
            Task served = session.RunAsync(stoppingToken);
            if (await Task.WhenAny(served, session.Hung).ConfigureAwait(false) != served)
                await RefuseUntilAsync(served, stoppingToken).ConfigureAwait(false);

            await served.ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            // The peer hung up between accept and here, or no descriptor is left for it.
            _logger.ConnectionNotServed(Name, e.Message);
        }
    }
}
